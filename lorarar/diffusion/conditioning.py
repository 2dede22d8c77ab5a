"""Conditioning: encoded prompts in the form that every family's denoiser takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts.

    Attributes:
        embeddings: Embeddings of the tokens, (batch, length, width).
        pooled: Pooled embeddings, (batch, width); None in Stable Diffusion 1.5.
    """

    embeddings: Tensor
    pooled: Tensor | None

    def __getitem__(self, index: Tensor | slice) -> Conditioning:
        return Conditioning(self.embeddings[index], None if self.pooled is None else self.pooled[index])

    def to(self, device: torch.device | str) -> Conditioning:
        """Return the same conditioning on another device."""
        return Conditioning(self.embeddings.to(device), None if self.pooled is None else self.pooled.to(device))


def join_conditionings(conditionings: Sequence[Conditioning]) -> Conditioning:
    """Return one batch of several conditionings of one base, in their order."""
    pooled = [c.pooled for c in conditionings if c.pooled is not None]
    return Conditioning(torch.cat([c.embeddings for c in conditionings]), torch.cat(pooled) if pooled else None)
