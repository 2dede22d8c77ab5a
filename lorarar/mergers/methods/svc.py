"""SVC: singular value calibration, a step after any merge that scales back what several inputs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lorarar.lora import Dense, Layer, LoRA, factorise
from lorarar.mergers.methods.layers import present
from lorarar.mergers.methods.spectra import from_spectrum, spectrum


def calibrate(merged: Layer, deltas: Sequence[Layer | None], *, alpha: float) -> Layer:
    """Return U diag(gamma s) V^T, where U diag(s) V^T is the SVD of the merged delta.

    For the left singular vector u_r, a_r = u_r^T dW_m and a_r^i = u_r^T dW_i are the responses of the merge and of
    input i. Then

        s_r^i = <a_r, a_r^i> / |a_r^i|^2,    gamma_r = n / sum_i max(alpha, s_r^i).

    A direction that the merge amplifies is scaled back, one that it weakens is scaled up to 1 / alpha times.

    Args:
        merged: Merged delta (out, in).
        deltas: The inputs' deltas (out, in), weights included; None where an input lacks the layer. Inputs of zeros do
            not count.
        alpha: Lower bound of s_r^i, above 0. The release takes 1 / n, and 1 after TSV-M.

    Returns:
        A delta of the merged one's rank at most; a dense one stays dense.

    Reference:
        arXiv 2602.05536, and its released code.
    """
    u, s, vh = spectrum(merged)
    scales = [scale for delta in present(deltas) if (scale := _amplification(u, s, vh, delta)) is not None]
    if not scales:
        return merged
    gamma = 1 / torch.stack(scales).clamp(min=alpha).mean(0)
    calibrated = from_spectrum(u, gamma * s, vh, [merged])
    return Dense(calibrated.delta(), merged.kernel) if isinstance(merged, Dense) else calibrated


def calibrate_lora(lora: LoRA, inputs: Sequence[LoRA], alpha: float) -> LoRA:
    """Calibrate each weight of a merged LoRA; norms and biases stay.

    Args:
        lora: The merge.
        inputs: The merged LoRAs, weights folded into their deltas.
        alpha: As in `calibrate`.
    """
    layers = {
        path: calibrate(delta, [one.layers.get(path) for one in inputs], alpha=alpha)
        if len(delta.shape) == 2
        else delta
        for path, delta in lora.layers.items()
    }
    return replace(lora, layers=layers)


def _amplification(u: Tensor, s: Tensor, vh: Tensor, delta: Layer) -> Tensor | None:
    """Return s_r^i of each direction, 0 where the input has no part in it; None for an input of zeros."""
    factors = factorise(delta).to(dtype=torch.float64)
    rows = factors.scale * (u.T @ factors.B)
    squares = ((rows @ (factors.A @ factors.A.T)) * rows).sum(1)
    total = ((factors.B.T @ factors.B) * (factors.A @ factors.A.T)).sum() * factors.scale**2
    if total <= 0:
        return None
    dots = s * (rows * (vh @ factors.A.T)).sum(1)
    return torch.where(squares > 1e-12 * total, dots / squares, 0.0)
