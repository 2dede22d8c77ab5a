"""DoRA, W0 + dW' = m (W0 + dW) / |W0 + dW|: direction and magnitude of the weight are learned separately.

Reference: DoRA, arXiv 2402.09353, equation 5. dW can be any low-rank delta (LoRA, LoHa, LoKr).

The norm covers each output row (peft, and LyCORIS by default) or each input channel's column (older LyCORIS). The shape
of the magnitude determines which.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, widen
from lorarar.lora import Dense, Layer


def dora(parts: LayerParts, layer: Layer, weight: Tensor) -> Dense:
    """Return the full-rank delta dW' for a low-rank delta dW and a magnitude.

    Args:
        parts: "dora_scale", (out, 1[, 1, 1]) or (1, in[, 1, 1]); or peft's "magnitude", (out,) or (1, out, 1, 1).
        layer: dW.
        weight: W0, (out, in[, height, width]), float32 or float64.

    Raises:
        ValueError: The shapes disagree.
    """
    channels = weight.reshape(weight.shape[0], weight.shape[1], -1)
    merged = channels + layer.delta().reshape(channels.shape)
    magnitude, dims = _magnitude(parts, channels)
    # The clamp keeps a direction of length 0 at 0.
    length = torch.linalg.vector_norm(merged, dim=dims, keepdim=True).clamp_min(torch.finfo(merged.dtype).tiny)
    return Dense((widen(magnitude) * (merged / length) - channels).flatten(1), tuple(weight.shape[2:]))


def _magnitude(parts: LayerParts, channels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return the magnitude in three dimensions, and the dimensions that the norm covers."""
    out, width, _ = channels.shape
    stored = parts.get("dora_scale")
    by_row = stored is None or stored.ndim < 2 or tuple(stored.shape[:2]) == (out, 1)
    magnitude = parts["magnitude"] if stored is None else stored
    if by_row and magnitude.numel() == out:
        return magnitude.reshape(out, 1, 1), (1, 2)
    if not by_row and magnitude.numel() == width and magnitude.shape[1] == width:
        return magnitude.reshape(1, width, 1), (0, 2)
    raise ValueError(
        f"the magnitude must have one number for each of the weight's {out} rows or {width} columns, found shape "
        f"{tuple(magnitude.shape)}: give the base model of the training, or save the LoRA again"
    )
