"""TSV-M: the singular vectors of all deltas, made orthogonal to each other before the deltas are added."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lorarar.lora import Layer
from lorarar.mergers.methods.layers import add_deltas, present
from lorarar.mergers.methods.spectra import from_spectrum, orthogonalise, spectrum


def tsv_m(deltas: Sequence[Layer | None], *, layer: str) -> Layer:
    """Return dW_m = U_perp S V_perp^T, with U = [U_1 .. U_n], S = diag(S_1, .., S_n), V = [V_1 .. V_n].

    U_i S_i V_i^T is the SVD of dW_i and X_perp the nearest matrix to X with orthonormal columns. Of the min(out, in)
    directions of a layer each of the n LoRAs may have the n-th part, its largest; a LoRA of a smaller rank keeps all.

    Args:
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where a LoRA lacks the layer.
        layer: Path of the layer.

    Returns:
        A low-rank delta of rank at most sum(rank_i). A delta that is alone comes back as it is.

    Reference:
        Task Singular Vectors, arXiv 2412.00081, and its released code.
    """
    layers = present(deltas)
    parts = [part for part in map(spectrum, layers) if len(part[1])]
    if len(parts) < 2:
        return add_deltas(layers)
    k = max(1, min(layers[0].shape) // len(parts))
    u = orthogonalise(torch.cat([u[:, :k] for u, _, _ in parts], dim=1))
    v = orthogonalise(torch.cat([vh[:k].T for _, _, vh in parts], dim=1))
    return from_spectrum(u, torch.cat([s[:k] for _, s, _ in parts]), v.T, layers)
