"""LoKr, dW = gamma kron(w1, w2), each of the two a matrix or a product of thin ones.

Reference: LyCORIS, arXiv 2309.14859, section 3.3; KronA, arXiv 2212.10650.

kron(a b, c d) = kron(a, c) kron(b, d), so thin factors of both sides give thin factors of the whole. A full w is its
own factor, the identity being the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, as_matrix, check_ranks, flatten_kernel, fold_core, kron, widen
from lorarar.formats.algorithms.scaling import Scaling, gamma
from lorarar.lora import Dense, Layer, LowRank


def lokr(parts: LayerParts, scaling: Scaling) -> Layer:
    """Exact factors where the two sides' ranks multiply to less than both sides of the delta, else the dense delta.

    Args:
        parts: "lokr_w1" (a, c), or "lokr_w1_a" (a, r) and "lokr_w1_b" (r, c); "lokr_w2" (b, d[, height, width]), or
            "lokr_w2_a" (b, r) and "lokr_w2_b" (r, d); with "lokr_t2" (r, r, height, width) "lokr_w2_a" is (r, b).
            "alpha", which means nothing where both are full.
        scaling: What a configuration says.

    Returns:
        (a b, c d), float32 or wider. The kernel is known from a full w2 or a Tucker core only.

    Raises:
        ValueError: The shapes disagree.
    """
    (a, b, none), (c, d, kernel) = _side(parts, 1), _side(parts, 2)
    if none:
        raise ValueError(f"lokr_w1 must be a matrix, found the kernel {none} of a convolution: w1 and w2 were swapped")
    scale = _scale(parts, scaling)
    if a.shape[1] * c.shape[1] < min(a.shape[0] * c.shape[0], b.shape[1] * d.shape[1]):
        return LowRank(kron(a, c), kron(b, d), scale, kernel)
    return Dense(scale * kron(a @ b, c @ d), kernel)


def _scale(parts: LayerParts, scaling: Scaling) -> float:
    """gamma; for two full sides, 1 for LyCORIS, which stores an alpha, and alpha / rank by peft's configuration."""
    ranked = next((parts[role] for role in ("lokr_w2_b", "lokr_w1_b") if role in parts), None)
    if ranked is not None:
        return gamma(parts, scaling, ranked.shape[0])
    rest = {role: tensor for role, tensor in parts.items() if role != "alpha"}
    return gamma(rest, scaling if scaling.rank and "alpha" not in parts else Scaling(), scaling.rank or 1)


def _side(parts: LayerParts, index: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Factors of one side, (rows, r) and (r, columns), r at most min(rows, columns); kernel."""
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
    """The factors, multiplied out where they are no thinner than their product."""
    return (up, down) if up.shape[1] < min(up.shape[0], down.shape[1]) else _trivial(up @ down)


def _trivial(whole: Tensor) -> tuple[Tensor, Tensor]:
    """whole = I whole, or whole I, whichever is thinner."""
    rows, columns = whole.shape
    identity = torch.eye(min(rows, columns), dtype=whole.dtype)
    return (identity, whole) if rows <= columns else (whole, identity)
