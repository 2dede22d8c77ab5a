"""Spectra: singular vectors of deltas and their orthogonalisation, shared by the mergers that work on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lorarar.lora import Layer, LowRank, factorise, from_svd, thin_svd

_EPS = torch.finfo(torch.float32).eps


def spectrum(delta: Layer) -> tuple[Tensor, Tensor, Tensor]:
    """Return the SVD of a delta in float64, through its factors, without the values that are zero to rounding.

    Returns:
        U (out, k), the singular values (k,) in descending order and V^T (k, in), where k is the delta's own rank.
    """
    u, s, vh = thin_svd(factorise(delta).to(dtype=torch.float64))
    kept = _nonzero(s, max(delta.shape))
    return u[:, kept], s[kept], vh[kept]


def orthogonalise(columns: Tensor) -> Tensor:
    """Return P Q^T of columns = P S Q^T, the nearest matrix with orthonormal columns (Procrustes), (n, k) -> (n, k).

    Directions whose singular value is zero to rounding are left out of P and Q, so that repeated columns share one
    direction and no arbitrary one takes part.
    """
    basis, triangle = torch.linalg.qr(columns)
    p, s, qh = torch.linalg.svd(triangle, full_matrices=False)
    kept = _nonzero(s, max(columns.shape))
    nearest: Tensor = basis @ (p[:, kept] @ qh[kept])
    return nearest


def from_spectrum(u: Tensor, s: Tensor, vh: Tensor, like: Sequence[Layer]) -> LowRank:
    """Return U diag(s) V^T as factors, in the inputs' widest dtype and with their kernel; zeros where s is empty."""
    out, width = like[0].shape
    if not len(s):
        u, s, vh = u.new_zeros(out, 1), s.new_zeros(1), vh.new_zeros(1, width)
    kernel = next((delta.kernel for delta in like if delta.kernel), ())
    dtype = torch.float32
    for delta in like:
        dtype = torch.promote_types(dtype, delta.A.dtype if isinstance(delta, LowRank) else delta.tensor.dtype)
    return from_svd(u, s, vh, kernel).to(dtype=dtype)


def _nonzero(s: Tensor, side: int) -> Tensor:
    return s > s.max() * _EPS * side if len(s) else s > 0
