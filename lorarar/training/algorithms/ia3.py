"""IA3, dW = W0 * l: a learned factor for each row or each input channel of the base's weight, at first 0.

Reference: IA3, arXiv 2205.05638, section 3.3; as LyCORIS stores it, l is the factor minus 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lorarar.diffusion import StackedDense
from lorarar.training.algorithms.parts import Parts
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe


def initial(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return "ia3", (out,) or (in,), in convolutions (1, out, 1, 1) or (1, in, 1, 1)."""
    size = layer.channels if recipe.on_input else layer.out
    return {"ia3": torch.zeros(1, size, *[1] * len(layer.kernel)) if layer.kernel else torch.zeros(size)}


def stack(layer: TrainedLayer, recipe: Recipe, parts: Parts, scale: float | Tensor) -> StackedDense:
    """Return dW of n LoRAs."""
    factors = parts["ia3"].flatten(1)
    if recipe.on_input:
        factors = factors.repeat_interleave(math.prod(layer.kernel), 1)[:, None, :]
    else:
        factors = factors[:, :, None]
    return StackedDense(layer.weight() * factors)


def constants(layer: TrainedLayer, recipe: Recipe, scale: float) -> dict[str, Tensor]:
    """Return "on_input"."""
    return {"on_input": torch.tensor(int(recipe.on_input))}
