"""KnOTS: aligns the deltas in one basis before they are pruned and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from lorarar.lora import Layer, LowRank, factorise
from lorarar.mergers.methods.pruning import Pruning, thinned


def knots(pruning: Pruning, deltas: Sequence[Layer | None], *, layer: str, density: float, seed: int = 0) -> LowRank:
    """dW_m = U S V_m^T with [dW_1 .. dW_n] = U S [V_1^T .. V_n^T], V_m the pruned and averaged V_i.

    With Q R = [s_1 B_1 .. s_n B_n] and L_i Q_i^T = A_i (QR of A_i^T) the SVD is that of the small core
    [R_1 L_1 .. R_n L_n], (sum of ranks) on a side. Directions of no singular value, which rounding alone would fill,
    are left out: they would share in the density.

    Args:
        pruning: How the V_i are merged: `PRUNINGS["ties"]` or `["dare_ties"]`.
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where a LoRA lacks the layer.
        layer: Its path, for the seed.
        density: Share of each V_i's entries that stays.
        seed: Of the random masks.

    Returns:
        Thin factors U S and V_m^T of rank at most sum(rank_i).

    Reference:
        KnOTS, arXiv 2410.19735. (The published code prunes S V_i^T by default; here V_i, as in the paper's text.)
    """
    thin = {i: factorise(delta) for i, delta in enumerate(deltas) if delta is not None}
    u, s, rights = side_by_side(list(thin.values()))
    first = next(iter(thin.values()))
    if not len(s):
        return LowRank(torch.zeros_like(first.B[:, :1]), torch.zeros_like(first.A[:1]), kernel=first.kernel)
    parts = dict(zip(thin, rights, strict=True))
    return LowRank(u * s, thinned(pruning, parts, layer=layer, density=density, seed=seed), kernel=first.kernel)


def side_by_side(deltas: Sequence[LowRank]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Thin SVD of [dW_1 .. dW_n] through the factors: U (out, k), S (k,) and V_i^T (k, in) for each delta.

    k counts the singular values that are not zero to rounding. Computed in float64, because a small singular value's
    vectors hold the others' rounding errors; returned in float32 or wider.
    """
    dtype = reduce(torch.promote_types, (delta.A.dtype for delta in deltas), torch.float32)
    wide = [delta.to(dtype=torch.float64) for delta in deltas]
    q, r = torch.linalg.qr(torch.cat([delta.scale * delta.B for delta in wide], dim=1))
    downs = [torch.linalg.qr(delta.A.T) for delta in wide]  # A_i = lower_i^T basis_i^T
    blocks = r.split([delta.rank for delta in wide], dim=1)
    core = torch.cat([block @ lower.T for block, (_, lower) in zip(blocks, downs, strict=True)], dim=1)
    u, s, vh = torch.linalg.svd(core, full_matrices=False)
    kept = s > s[0] * torch.finfo(torch.float32).eps * max(core.shape)
    rows = vh[kept].split([basis.shape[1] for basis, _ in downs], dim=1)
    rights = [(row @ basis.T).to(dtype) for row, (basis, _) in zip(rows, downs, strict=True)]
    return (q @ u[:, kept]).to(dtype), s[kept].to(dtype), _without_noise(rights)


def _without_noise(rights: list[Tensor]) -> list[Tensor]:
    """Exact zeros where a delta has no part in a direction: rounding would vote on the sign there."""
    largest = max((float(right.abs().max()) for right in rights if right.numel()), default=0.0)
    return [right * (right.abs() > largest * torch.finfo(torch.float32).eps) for right in rights]
