"""KnOTS: deltas aligned in one basis before they are pruned and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from lorarar.lora import Layer, LowRank, factorise
from lorarar.mergers.methods.pruning import Pruning, prune_and_merge

_DEPENDENT = 1e-3  # share of the largest diagonal entry of the Cholesky factor below which float32 loses digits


def knots(pruning: Pruning, deltas: Sequence[Layer | None], *, layer: str, density: float, seed: int = 0) -> LowRank:
    """Return dW_m = U S V_m^T, with [dW_1 .. dW_n] = U S [V_1^T .. V_n^T] and V_m the pruned and averaged V_i.

    The SVD comes from matrices whose sides are the sum of the ranks, see `joint_svd`. Directions whose singular value
    is zero are left out: rounding alone fills them, and they would count in the density.

    Args:
        pruning: How the V_i are merged: `PRUNINGS["ties"]` or `["dare_ties"]`.
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where a LoRA lacks the layer.
        layer: Path of the layer, which the random masks depend on beside the seed.
        density: Share of each V_i's entries to keep, above 0, at most 1.
        seed: Seed of the random masks.

    Returns:
        The factors U S and V_m^T, of rank at most sum(rank_i).

    Raises:
        ValueError: The density is out of range.

    Reference:
        KnOTS, arXiv 2410.19735. (The published code prunes S V_i^T by default; here V_i is pruned, as in the paper.)
    """
    factors = {i: factorise(delta) for i, delta in enumerate(deltas) if delta is not None}
    u, s, rights = joint_svd(list(factors.values()))
    first = next(iter(factors.values()))
    if not len(s):
        return LowRank(torch.zeros_like(first.B[:, :1]), torch.zeros_like(first.A[:1]), kernel=first.kernel)
    by_lora = dict(zip(factors, rights, strict=True))
    return LowRank(
        u * s, prune_and_merge(pruning, by_lora, layer=layer, density=density, seed=seed), kernel=first.kernel
    )


def joint_svd(deltas: Sequence[LowRank]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the thin SVD of [dW_1 .. dW_n], through the factors: U (out, k), S (k,) and V_i^T (k, in) for each delta.

    With B = [s_1 B_1 .. s_n B_n], A_i = L_i Q_i^T for orthonormal Q_i, and L = diag(L_1 .. L_n), the Gram matrix
    L^T B^T B L = W S^2 W^T gives S, U = B L W / S and V_i^T = W_i^T Q_i^T, with W_i the rows of W that belong to LoRA
    i.

    k is the number of singular values that are not zero to rounding. The Gram matrix and its eigenvectors are computed
    in float64, because the vectors of a small singular value hold the rounding errors of the others; the smallest that
    counts is 1e-5 of the largest, whose squares float64 still tells apart. The results are in float32 or wider.
    """
    dtype = reduce(torch.promote_types, (delta.A.dtype for delta in deltas), torch.float32)
    ups = torch.cat([delta.scale * delta.B.double() for delta in deltas], dim=1)
    downs = [_orthonormal(delta.A) for delta in deltas]
    lower = torch.block_diag(*(down.lower for down in downs))
    squares, w = torch.linalg.eigh(lower.T @ (ups.T @ ups) @ lower)
    s, w = squares.clamp(min=0).sqrt().flip(0), w.flip(1)
    nonzero = s > s[0] * torch.finfo(torch.float32).eps * len(s)
    s, w = s[nonzero], w[:, nonzero]
    rights = [
        (part.T @ down.inverse).to(dtype) @ down.rows.to(dtype)
        for part, down in zip(w.split([len(down.rows) for down in downs]), downs, strict=True)
    ]
    return (ups @ (lower @ w) / s).to(dtype), s.to(dtype), _without_noise(rights)


class _Orthonormal(NamedTuple):
    """A down factor (rank, in): lower (rank, rank) times orthonormal rows, which are inverse times rows."""

    lower: Tensor
    inverse: Tensor
    rows: Tensor


def _orthonormal(down: Tensor) -> _Orthonormal:
    """Return A = L Q^T by the Cholesky factor L of A A^T, or by QR where the rows of A nearly depend on each other."""
    wide = down.double()
    lower, failed = torch.linalg.cholesky_ex(wide @ wide.T)
    diagonal, eye = lower.diagonal(), torch.eye(len(lower), dtype=wide.dtype, device=wide.device)
    if not failed and len(wide) <= wide.shape[1] and diagonal.min() > _DEPENDENT * diagonal.max():
        return _Orthonormal(lower, torch.linalg.solve_triangular(lower, eye, upper=False), down)
    basis, upper = torch.linalg.qr(wide.T)
    return _Orthonormal(upper.T, eye[: basis.shape[1], : basis.shape[1]], basis.T)


def _without_noise(rights: list[Tensor]) -> list[Tensor]:
    """Return V_i^T with exact zeros where a delta has no part in a direction; else rounding would vote on the sign."""
    largest = max((float(right.abs().max()) for right in rights if right.numel()), default=0.0)
    return [right * (right.abs() > largest * torch.finfo(torch.float32).eps) for right in rights]
