"""SSR-Merge: signals of all LoRAs, decorrelated and led to the LoRA that they belong to, then folded into one LoRA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lorarar.lora import Layer, LowRank
from lorarar.mergers.methods.layers import add_deltas, present

# Layer -> for each LoRA that holds it, in order, the mean of z z^T over the inputs x of the layer when this LoRA alone
# draws its prompt, with z = [A_1; ..; A_n] x, (sum rank_i, sum rank_i).
Moments = Mapping[str, Sequence[Tensor]]


def ssr(deltas: Sequence[Layer | None], *, layer: str, moments: Moments, ridge: float = 1e-4) -> Layer:
    """Return dW_m = [s_1 B_1 .. s_n B_n] R [A_1; ..; A_n] with R = Q G^-1, the least squares of each LoRA's own output.

    G is the mean of all LoRAs' moments plus `ridge` times the identity, the k-th block of rows of Q that of the k-th
    LoRA's moment. So R takes what LoRA k adds to the outputs of its own inputs, and nothing of the others. The identity
    is that of orthonormal rows A_k: for others the ridge is A_k A_k^T, so that the factors do not matter.

    Args:
        deltas: One delta (out, in) for each LoRA, with its weight in the scale; None where a LoRA lacks the layer.
        layer: Path of the layer.
        moments: See `Moments`. A layer without, such as one of a text encoder, is summed.
        ridge: Regularisation, in units of the mean square of the inputs.

    Returns:
        A low-rank delta of rank sum(rank_i) with the inputs' A; the sum where a delta is dense or alone.

    Reference:
        SSR-Merge, arXiv 2606.10617, and its released code.
    """
    layers = present(deltas)
    factors = [delta for delta in layers if isinstance(delta, LowRank)]
    if layer not in moments or len(factors) < max(2, len(layers)):
        return add_deltas(layers)
    own = [moment.to(factors[0].device, torch.float64) / len(factors) for moment in moments[layer]]
    downs = [f.A.double() for f in factors]
    g = torch.stack(own).sum(0) + ridge * torch.block_diag(*[a @ a.T for a in downs])
    ranks = [f.rank for f in factors]
    q = torch.cat([moment.split(ranks)[k] for k, moment in enumerate(own)])
    ups = torch.cat([f.scale * f.B.double() for f in factors], dim=1)
    routed = ups @ q @ torch.linalg.pinv(g, hermitian=True)
    dtype = torch.promote_types(torch.float32, factors[0].B.dtype)
    return LowRank(
        routed.to(dtype), torch.cat(downs).to(dtype), kernel=next((f.kernel for f in factors if f.kernel), ())
    )
