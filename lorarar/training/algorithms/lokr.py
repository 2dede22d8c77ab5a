"""LoKr, dW = scale kron(w1, w2), each a matrix or a product of thin matrices. At first w2 is zero.

Reference: LyCORIS, arXiv 2309.14859, section 3.3; KronA, arXiv 2212.10650.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lorarar.diffusion import StackedDense
from lorarar.training.algorithms.parts import Parts, fold_core, has_core, uniform
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe


def initial(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return "lokr_w1" (a, c) and "lokr_w2" (b, d[, height, width]) with a b = out and c d = in.

    A side whose rank is less than half its longer dimension is a product: "lokr_w2_a" (b, rank), "lokr_w2_b" (rank, d
    height width), and likewise w1 with `decompose_both`. With a core "lokr_t2" (rank, rank, height, width) w2_a is
    (rank, b) and w2_b (rank, d).
    """
    rank, kernel = recipe.rank_of(layer.is_wide), layer.kernel
    (a, b), (c, d) = split(layer.out, recipe.factor), split(layer.channels, recipe.factor)
    if recipe.decompose_both and rank < max(a, c) / 2 and not recipe.full_matrix:
        parts = {"lokr_w1_a": uniform((a, rank), rank, random), "lokr_w1_b": uniform((rank, c), c, random)}
    else:
        parts = {"lokr_w1": uniform((a, c), c, random)}
    if rank >= max(b, d) / 2 or recipe.full_matrix:
        return parts | {"lokr_w2": torch.zeros(b, d, *kernel)}
    if has_core(layer, recipe):
        core = uniform((rank, rank, *kernel), rank * math.prod(kernel), random)
        return parts | {"lokr_w2_a": uniform((rank, b), b, random), "lokr_w2_b": torch.zeros(rank, d), "lokr_t2": core}
    return parts | {
        "lokr_w2_a": uniform((b, rank), rank, random),
        "lokr_w2_b": torch.zeros(rank, d * math.prod(kernel)),
    }


def stack(layer: TrainedLayer, recipe: Recipe, parts: Parts, scale: float | Tensor) -> StackedDense:
    """Return dW of n LoRAs. Two full sides have scale 1."""
    w1 = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        w2 = parts["lokr_w2"].flatten(2)
    elif "lokr_t2" in parts:
        w2 = parts["lokr_w2_a"].mT @ fold_core(parts["lokr_t2"], parts["lokr_w2_b"])
    else:
        w2 = parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    product = torch.einsum("nac,nbd->nabcd", w1, w2).flatten(3).flatten(1, 2)
    return StackedDense(product if {"lokr_w1", "lokr_w2"} <= parts.keys() else scale * product)


def split(size: int, factor: int) -> tuple[int, int]:
    """Return m <= n with m n = size: m is the factor where it divides, else the largest divisor that is not above it.

    A factor of -1 makes m and n as equal as they can be. These are LyCORIS' rules.
    """
    if factor > 0 and size % factor == 0:
        return min(factor, size // factor), max(factor, size // factor)
    limit = min(math.isqrt(size), factor if factor > 0 else size)
    small = max(divisor for divisor in range(1, limit + 1) if size % divisor == 0)
    return small, size // small
