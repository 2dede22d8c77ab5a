"""Full deltas, entry by entry, of weights and biases: the difference of a fine-tuned base, at first 0."""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.diffusion import StackedDense
from lorarar.training.algorithms.parts import Parts
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe


def initial(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return "diff" (out, in[, height, width]), and "diff_b" (out,) where the layer has a bias."""
    parts = {"diff": torch.zeros(layer.out, layer.channels, *layer.kernel)}
    return parts | ({} if layer.module.bias is None else {"diff_b": torch.zeros(layer.out)})


def stack(layer: TrainedLayer, recipe: Recipe, parts: Parts, scale: float | Tensor) -> StackedDense:
    """Return the differences of n LoRAs, which no alpha scales."""
    return StackedDense(parts["diff"].flatten(2), parts.get("diff_b"))
