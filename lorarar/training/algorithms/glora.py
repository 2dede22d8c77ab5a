"""GLoRA, dW = scale (W0 a1 a2 + b1 b2): a low-rank delta and a low-rank multiple of the base's weight.

Reference: GLoRA, arXiv 2306.07967, equation 8, its supports for weights. At first a2 and b2 are zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.diffusion import StackedDense
from lorarar.training.algorithms.parts import Parts, uniform
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe


def initial(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return "a1" (in, rank), "a2" (rank, in), "b1" (out, rank), "b2" (rank, in[, height, width])."""
    rank, ones = recipe.rank_of(layer.is_wide), [1] * len(layer.kernel)
    return {
        "a1": uniform((layer.channels, rank, *ones), rank, random),
        "a2": torch.zeros(rank, layer.channels, *ones),
        "b1": uniform((layer.out, rank, *ones), rank, random),
        "b2": torch.zeros(rank, layer.channels, *layer.kernel),
    }


def stack(layer: TrainedLayer, recipe: Recipe, parts: Parts, scale: float | Tensor) -> StackedDense:
    """Return dW of n LoRAs. In a convolution, a1 and a2 act on channels at each place of the kernel."""
    a1, a2, b1, b2 = (parts[name].flatten(2) for name in ("a1", "a2", "b1", "b2"))
    weight = layer.weight().unflatten(1, (layer.channels, -1))
    multiple = torch.einsum("ock,ncr,nrd->nodk", weight, a1, a2).flatten(2)
    return StackedDense(scale * (multiple + b1 @ b2))
