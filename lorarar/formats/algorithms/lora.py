"""LoRA and LoCon, dW = gamma up down, and LoCon's Tucker form, dW = gamma mid x_1 up x_2 down.

Reference: LoRA, arXiv 2106.09685; LoCon, arXiv 2309.14859. LoCon's up factor is a convolution of kernel 1, so the
flattened factors form a matrix product.
"""

from __future__ import annotations

from lorarar.formats.algorithms.parts import LayerParts, as_matrix, check_ranks, flatten_kernel, fold_core, widen
from lorarar.formats.algorithms.scaling import Scaling, gamma
from lorarar.lora import LowRank


def lora(parts: LayerParts, scaling: Scaling) -> LowRank:
    """Return the stored factors, with gamma beside them and convolutions flattened.

    Args:
        parts: "up" (out, rank[, 1, 1]), "down" (rank, in[, height, width]), and "alpha" if the file has one.
        scaling: Scaling from a configuration.

    Raises:
        ValueError: The shapes disagree.
    """
    up, (down, kernel) = as_matrix(parts, "up"), flatten_kernel(parts, "down")
    return LowRank(up, down, gamma(parts, scaling, down.shape[0]), kernel)


def tucker(parts: LayerParts, scaling: Scaling) -> LowRank:
    """Fold the core into the down factor, which keeps the rank.

    Args:
        parts: "up" (out, rank, 1, 1), "mid" (rank, rank, height, width), "down" (rank, in, 1, 1), "alpha".
        scaling: Scaling from a configuration.

    Raises:
        ValueError: The shapes disagree.
    """
    up, down = as_matrix(parts, "up"), as_matrix(parts, "down")
    check_ranks(parts, ("up", 1), ("mid", 0))
    check_ranks(parts, ("mid", 1), ("down", 0))
    kernel = flatten_kernel(parts, "mid")[1]
    return LowRank(widen(up), fold_core(parts["mid"], down), gamma(parts, scaling, down.shape[0]), kernel)
