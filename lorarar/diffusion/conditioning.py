"""Encoded prompts, as every family's denoiser takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts: ``embeddings`` (batch, length, width) and ``pooled`` (batch, width), None in SD 1.5."""

    embeddings: Tensor
    pooled: Tensor | None

    def __getitem__(self, index: Tensor | slice) -> Conditioning:
        return Conditioning(self.embeddings[index], None if self.pooled is None else self.pooled[index])

    def to(self, device: torch.device | str) -> Conditioning:
        """The same on another device."""
        return Conditioning(self.embeddings.to(device), None if self.pooled is None else self.pooled.to(device))


def stack(conditionings: Sequence[Conditioning]) -> Conditioning:
    """One batch from several of one base, in their order."""
    pooled = [c.pooled for c in conditionings if c.pooled is not None]
    return Conditioning(torch.cat([c.embeddings for c in conditionings]), torch.cat(pooled) if pooled else None)
