"""Iso-C and Iso-CTS: the sum with equal singular values, in the common subspace or also in each delta's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lorarar.lora import Layer, LowRank, factorise
from lorarar.mergers.methods.layers import add_deltas, present
from lorarar.mergers.methods.spectra import from_spectrum, orthogonalise, spectrum


def iso_c(deltas: Sequence[Layer | None], *, layer: str) -> LowRank:
    """Return dW_m = mean(s) U V^T, where U diag(s) V^T is the SVD of sum_i dW_i (equation 7).

    The paper takes full deltas. A sum of low-rank ones has directions of singular value zero, which are arbitrary: here
    the mean runs over the others, as in the core space of arXiv 2509.17786.

    Args:
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where a LoRA lacks the layer.
        layer: Path of the layer.

    Returns:
        A low-rank delta of rank at most sum(rank_i). A single LoRA is changed too.

    Reference:
        Isotropic merging, arXiv 2502.04959.
    """
    layers = present(deltas)
    u, s, vh = spectrum(add_deltas(layers))
    return from_spectrum(u, _flat(s), vh, layers)


def iso_cts(deltas: Sequence[Layer | None], *, layer: str, common: float = 0.8) -> LowRank:
    """Return dW_m = mean(s) U_perp V_perp^T, with the common directions of the sum and some of each delta's own.

    Of the r directions of the sum the first k are common, U_c. Each of the n deltas adds the (r - k) / n largest
    directions of (I - U_c U_c^T) dW_i. All left and all right vectors are made orthogonal, and all singular values
    become their mean.

    Args:
        deltas: As in `iso_c`.
        layer: Path of the layer.
        common: Share of the directions that are common, k / r before it is rounded so that n divides r - k, 0 to 1.

    Returns:
        A low-rank delta of rank at most sum(rank_i).

    Raises:
        ValueError: The share is out of range.

    Reference:
        Isotropic merging, arXiv 2502.04959, and its released code (`common_space_fraction`). The spectrum is that of
        the inputs' own subspace, as in `iso_c`.
    """
    if not 0 <= common <= 1:
        raise ValueError(f"expected a common share from 0 to 1, found {common}: choose another one")
    layers = present(deltas)
    u, s, vh = spectrum(add_deltas(layers))
    own = min(round((len(s) - int(len(s) * common)) / len(layers)), len(s) // len(layers))
    k = len(s) - own * len(layers)
    parts = [(u[:, :k], s[:k], vh[:k])]
    for delta in layers:
        mine = spectrum(_without(delta, u[:, :k]))
        parts.append((mine[0][:, :own], mine[1][:own], mine[2][:own]))
    lefts = orthogonalise(torch.cat([left for left, _, _ in parts], dim=1))
    rights = orthogonalise(torch.cat([right.T for _, _, right in parts], dim=1))
    return from_spectrum(lefts, _flat(torch.cat([values for _, values, _ in parts])), rights.T, layers)


def _flat(s: Tensor) -> Tensor:
    return s.mean().expand_as(s) if len(s) else s


def _without(delta: Layer, columns: Tensor) -> LowRank:
    """Return (I - U U^T) dW for orthonormal columns U."""
    factors = factorise(delta).to(dtype=torch.float64)
    return replace(factors, B=factors.B - columns @ (columns.T @ factors.B))
