"""DoRA, W0 + dW' = m (W0 + dW) / |W0 + dW|, the norm of each row: LoRA with a learned magnitude m, at first |W0|.

Reference: DoRA, arXiv 2402.09353, equation 5. As in LyCORIS, the gradient passes through the norm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.diffusion import StackedDense
from lorarar.training.algorithms import lora
from lorarar.training.algorithms.parts import Parts, per_row, row_norms
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe


def initial(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return LoRA's parts and "dora_scale", (out, 1[, 1, 1])."""
    return lora.initial(layer, recipe, random) | {"dora_scale": per_row(layer, row_norms(layer.weight()).cpu())}


def stack(layer: TrainedLayer, recipe: Recipe, parts: Parts, scale: float | Tensor) -> StackedDense:
    """Return dW' of n LoRAs."""
    factors = lora.stack(layer, recipe, parts, scale)
    weight = layer.weight()
    moved = weight + scale * (factors.B @ factors.A)
    magnitude = parts["dora_scale"].flatten(2)
    return StackedDense(magnitude * (moved / row_norms(moved).clamp_min(torch.finfo(moved.dtype).tiny)) - weight)
