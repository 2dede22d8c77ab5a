"""LoRA, dW = scale B A, and LoCon, the same on convolutions, also in Tucker form: dW = scale core x_1 B x_2 A.

Reference: LoRA, arXiv 2106.09685; LoCon, arXiv 2309.14859. A is uniform and B is zero at first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lorarar.diffusion import StackedFactors
from lorarar.training.algorithms.parts import Parts, fold_core, has_core, rank_problem, uniform
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe


def initial(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return "up" (out, rank[, 1, 1]) and "down" (rank, in[, height, width]); with a core "down" has a 1 x 1 kernel."""
    rank, core = recipe.rank_of(layer.is_wide), has_core(layer, recipe)
    ones = [1] * len(layer.kernel)
    kernel = ones if core else layer.kernel
    parts = {
        "up": torch.zeros(layer.out, rank, *ones),
        "down": uniform((rank, layer.channels, *kernel), layer.channels * math.prod(kernel), random),
    }
    if core:
        parts["mid"] = uniform((rank, rank, *layer.kernel), rank * math.prod(layer.kernel), random)
    return parts


def stack(layer: TrainedLayer, recipe: Recipe, parts: Parts, scale: float | Tensor) -> StackedFactors:
    """Return the factors of n LoRAs, a core multiplied into A."""
    down = fold_core(parts["mid"], parts["down"]) if "mid" in parts else parts["down"].flatten(2)
    return StackedFactors(down, parts["up"].flatten(2), scale)


def problem(layer: TrainedLayer, recipe: Recipe) -> str:
    """Return why the layer cannot be trained, or an empty text."""
    if recipe.algorithm == "lora" and layer.is_wide:
        return f"{layer.path} is a convolution: set recipe.algorithm=locon, or other recipe.targets"
    return rank_problem(layer, recipe)
