"""Multimodal models that transformers loads: p(yes) from one forward pass."""

from __future__ import annotations

import torch
from torch import Tensor


def last_logits(model: torch.nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Logits (batch, vocabulary) after each sequence's last token, for inputs padded on the right.

    On the right, since then positions and causal attention are those of the sequence alone, whatever else is in the
    batch and however a model counts positions. Only the last tokens' logits are computed.
    """
    ends = inputs["attention_mask"].sum(1) - 1
    kept, row = ends.unique(return_inverse=True)
    logits = model(**inputs, logits_to_keep=kept, use_cache=False).logits
    return logits[torch.arange(len(ends), device=ends.device), row]
