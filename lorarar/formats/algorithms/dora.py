"""DoRA, W0 + dW' = m (W0 + dW) / |W0 + dW|: the weight's direction and its magnitude learned apart.

Reference: DoRA, arXiv 2402.09353, equation 5. dW may be any low-rank delta (LoRA, LoHa, LoKr).

The norm runs over each output's row (peft, and LyCORIS by default), or over each input channel's column (older
LyCORIS); the magnitude's shape says which.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, widen
from lorarar.lora import Dense, Layer


def dora(parts: LayerParts, layer: Layer, weight: Tensor) -> Dense:
    """The full-rank delta dW' that a magnitude makes of dW.

    Args:
        parts: "dora_scale", (out, 1[, 1, 1]) or (1, in[, 1, 1]); or peft's "magnitude", (out,) or (1, out, 1, 1).
        layer: dW.
        weight: W0, (out, in[, height, width]), float32 or wider.

    Raises:
        ValueError: Shapes do not fit.
    """
    channels = weight.reshape(weight.shape[0], weight.shape[1], -1)
    merged = channels + layer.delta().reshape(channels.shape)
    magnitude, dims = _magnitude(parts, channels)
    # A direction of length 0 stays 0.
    length = torch.linalg.vector_norm(merged, dim=dims, keepdim=True).clamp_min(torch.finfo(merged.dtype).tiny)
    return Dense((widen(magnitude) / length * merged - channels).flatten(1), tuple(weight.shape[2:]))


def _magnitude(parts: LayerParts, channels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The magnitude in three dimensions, and those over which the norm runs."""
    out, width, _ = channels.shape
    stored = parts.get("dora_scale")
    by_row = stored is None or stored.ndim < 2 or tuple(stored.shape[:2]) == (out, 1)
    found = parts["magnitude"] if stored is None else stored
    if by_row and found.numel() == out:
        return found.reshape(out, 1, 1), (1, 2)
    if not by_row and found.numel() == width and found.shape[1] == width:
        return found.reshape(1, width, 1), (0, 2)
    raise ValueError(
        f"the magnitude must have one number for each of the weight's {out} rows or {width} columns, found shape "
        f"{tuple(found.shape)}: the base model is another one, or the file is damaged"
    )
