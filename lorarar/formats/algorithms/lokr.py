"""LoKr, dW = gamma kron(w1, w2), each a matrix or a product of thin matrices.

Reference: LyCORIS, arXiv 2309.14859, section 3.3; KronA, arXiv 2212.10650.

kron(a b, c d) = kron(a, c) kron(b, d), so thin factors of both sides give thin factors of the whole. A full w has
itself and the identity as factors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, as_matrix, check_ranks, flatten_kernel, fold_core, kron, widen
from lorarar.formats.algorithms.scaling import Scaling, gamma
from lorarar.lora import Dense, Layer, LowRank


def lokr(parts: LayerParts, scaling: Scaling) -> Layer:
    """Return exact factors if the product of the sides' ranks is less than both sides of the delta, else the dense one.

    Args:
        parts: "lokr_w1" (a, c), or "lokr_w1_a" (a, r) and "lokr_w1_b" (r, c); "lokr_w2" (b, d[, height, width]), or
            "lokr_w2_a" (b, r) and "lokr_w2_b" (r, d); with "lokr_t2" (r, r, height, width) "lokr_w2_a" is (r, b).
            "alpha", which is ignored if both sides are full.
        scaling: Scaling from a configuration.

    Returns:
        A delta (a b, c d) in float32 or float64. Only a full w2 or a Tucker core determines the kernel.

    Raises:
        ValueError: The shapes disagree.
    """
    (a, b, kernel_1), (c, d, kernel) = _side(parts, 1), _side(parts, 2)
    if kernel_1:
        raise ValueError(
            f"lokr_w1 must be a matrix, found a convolution with kernel {kernel_1}: check whether w1 and w2 "
            f"were swapped"
        )
    scale = _scale(parts, scaling)
    if a.shape[1] * c.shape[1] < min(a.shape[0] * c.shape[0], b.shape[1] * d.shape[1]):
        return LowRank(kron(a, c), kron(b, d), scale, kernel)
    return Dense(scale * kron(a @ b, c @ d), kernel)


def _scale(parts: LayerParts, scaling: Scaling) -> float:
    """Return gamma.

    For two full sides it is 1 in LyCORIS, which stores an alpha, and alpha / rank in peft's configuration.
    """
    ranked = next((parts[role] for role in ("lokr_w2_b", "lokr_w1_b") if role in parts), None)
    if ranked is not None:
        return gamma(parts, scaling, ranked.shape[0])
    rest = {role: tensor for role, tensor in parts.items() if role != "alpha"}
    return gamma(rest, scaling if scaling.rank and "alpha" not in parts else Scaling(), scaling.rank or 1)


def _side(parts: LayerParts, index: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Return the factors of one side, (rows, r) and (r, columns), with r at most min(rows, columns), and the kernel."""
    name = f"lokr_w{index}"
    if name in parts:
        whole, kernel = flatten_kernel(parts, name)
        return (*_trivial(widen(whole)), kernel)
    up, down, core = f"{name}_a", f"{name}_b", f"lokr_t{index}"
    if core in parts:
        check_ranks(parts, (up, 0), (core, 0))
        check_ranks(parts, (core, 1), (down, 0))
        kernel = flatten_kernel(parts, core)[1]
        return (*_thin(widen(as_matrix(parts, up)).T, fold_core(parts[core], as_matrix(parts, down))), kernel)
    check_ranks(parts, (up, 1), (down, 0))
    columns, kernel = flatten_kernel(parts, down)
    return (*_thin(widen(as_matrix(parts, up)), widen(columns)), kernel)


def _thin(up: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors, multiplied if they are not thinner than their product."""
    return (up, down) if up.shape[1] < min(up.shape[0], down.shape[1]) else _trivial(up @ down)


def _trivial(whole: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors I and whole, or whole and I, with the smaller identity."""
    rows, columns = whole.shape
    identity = torch.eye(min(rows, columns), dtype=whole.dtype)
    return (identity, whole) if rows <= columns else (whole, identity)
