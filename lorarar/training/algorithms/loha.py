"""LoHa, dW = scale (w1_a w1_b) * (w2_a w2_b), * entry by entry. At first w2_a is zero.

Reference: FedPara, arXiv 2108.06098, equation 4; Tucker form for convolutions: section 2.2, proposition 3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lorarar.diffusion import StackedDense
from lorarar.training.algorithms.parts import Parts, fold_core, has_core, normal
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe

_STD = 0.1  # of w1_a and of the cores, as in LyCORIS; w1_b and w2_b have 1


def initial(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return "hada_w1_a" (out, rank), "hada_w1_b" (rank, in), "hada_w2_a", "hada_w2_b".

    With cores "hada_t1" and "hada_t2" (rank, rank, height, width) the factors a are (rank, out), and in has no kernel.
    """
    rank, core = recipe.rank_of(layer.is_wide), has_core(layer, recipe)
    up = (rank, layer.out) if core else (layer.out, rank)
    down = (rank, layer.channels * (1 if core else math.prod(layer.kernel)))
    parts = {
        "hada_w1_a": normal(up, _STD, random),
        "hada_w1_b": normal(down, 1, random),
        "hada_w2_a": torch.zeros(up),
        "hada_w2_b": normal(down, 1, random),
    }
    if core:
        parts |= {f"hada_t{i}": normal((rank, rank, *layer.kernel), _STD, random) for i in (1, 2)}
    return parts


def stack(layer: TrainedLayer, recipe: Recipe, parts: Parts, scale: float | Tensor) -> StackedDense:
    """Return dW of n LoRAs."""
    return StackedDense(scale * _product(parts, 1) * _product(parts, 2))


def _product(parts: Parts, index: int) -> Tensor:
    up, down, core = parts[f"hada_w{index}_a"], parts[f"hada_w{index}_b"], parts.get(f"hada_t{index}")
    return up @ down if core is None else up.mT @ fold_core(core, down)
