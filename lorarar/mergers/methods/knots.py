"""KnOTS: deltas aligned in one basis before they are pruned and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from lorarar.lora import Layer, LowRank, factorise
from lorarar.mergers.methods.pruning import Pruning, prune_and_merge


def knots(pruning: Pruning, deltas: Sequence[Layer | None], *, layer: str, density: float, seed: int = 0) -> LowRank:
    """Return dW_m = U S V_m^T, with [dW_1 .. dW_n] = U S [V_1^T .. V_n^T] and V_m the pruned and averaged V_i.

    With Q R = [s_1 B_1 .. s_n B_n] and L_i Q_i^T = A_i (QR of A_i^T) the SVD is that of the small core
    [R_1 L_1 .. R_n L_n], whose sides are the sum of the ranks. Directions whose singular value is zero are left out:
    rounding alone fills them, and they would count in the density.

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

    k is the number of singular values that are not zero to rounding. The SVD is computed in float64, because the
    vectors of a small singular value hold the rounding errors of the others, and returned in float32 or wider.
    """
    dtype = reduce(torch.promote_types, (delta.A.dtype for delta in deltas), torch.float32)
    wide = [delta.to(dtype=torch.float64) for delta in deltas]
    q, r = torch.linalg.qr(torch.cat([delta.scale * delta.B for delta in wide], dim=1))
    downs = [torch.linalg.qr(delta.A.T) for delta in wide]  # A_i = lower_i^T basis_i^T
    blocks = r.split([delta.rank for delta in wide], dim=1)
    core = torch.cat([block @ lower.T for block, (_, lower) in zip(blocks, downs, strict=True)], dim=1)
    u, s, vh = torch.linalg.svd(core, full_matrices=False)
    nonzero = s > s[0] * torch.finfo(torch.float32).eps * max(core.shape)
    rows = vh[nonzero].split([basis.shape[1] for basis, _ in downs], dim=1)
    rights = [(row @ basis.T).to(dtype) for row, (basis, _) in zip(rows, downs, strict=True)]
    return (q @ u[:, nonzero]).to(dtype), s[nonzero].to(dtype), _without_noise(rights)


def _without_noise(rights: list[Tensor]) -> list[Tensor]:
    """Return V_i^T with exact zeros where a delta has no part in a direction; else rounding would vote on the sign."""
    largest = max((float(right.abs().max()) for right in rights if right.numel()), default=0.0)
    return [right * (right.abs() > largest * torch.finfo(torch.float32).eps) for right in rights]
