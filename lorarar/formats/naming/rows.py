"""Rows of a fused layer: the exact separation of the diffusers layers that it contains."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lorarar.lora import Layer, LowRank, Rows


def divide_rows(layer: Layer, rows: Rows, width: int) -> dict[str, Layer]:
    """Divide a stored layer into diffusers layers.

    Some files fuse projections with separate factors, so that B is block diagonal. The zero columns in a part's B are
    removed from its rank. A part that is entirely zero is left out unless all parts are zero.

    Args:
        layer: Delta of the stored layer, (out, in) or a bias (out,).
        rows: The diffusers layers in its rows.
        width: Input width of the stored layer; 0 for a bias without its weight.

    Raises:
        ValueError: The rows cannot be divided in these shares.
    """
    if rows.halves and not width:
        raise ValueError(
            "expected the bias of the last modulation with its weight, which determines its halves, found the bias "
            "alone: save the LoRA again"
        )
    if rows.halves and layer.shape[0] == 2 * width:
        layer = _with_rows(layer, torch.cat(_stored(layer).chunk(2)[::-1]))
    if len(rows.shares) == 1:
        return {rows.shares[0][0]: layer}
    total, out = sum(share for _, share in rows.shares), layer.shape[0]
    width = width // rows.unit or out // total
    if out != total * width:
        raise ValueError(
            f"a layer that fuses {len(rows.shares)} projections must have {total} times as many rows as its {width} "
            f"columns, found {out}: the LoRA is for an unsupported model"
        )
    parts = torch.split(_stored(layer), [share * width for _, share in rows.shares])
    nonzero = [bool(part.any()) for part in parts]
    divided: dict[str, Layer] = {}
    for path, part, keep in zip(rows.paths, parts, nonzero, strict=True):
        if keep or not any(nonzero):
            divided[path] = _thinned(_with_rows(layer, part))
    return divided


def _thinned(layer: Layer) -> Layer:
    """Return the same delta without the zero columns of B."""
    if not isinstance(layer, LowRank):
        return layer
    used = layer.B.any(dim=0)
    if bool(used.all()) or not bool(used.any()):
        return layer
    return replace(layer, B=layer.B[:, used], A=layer.A[used])


def _stored(layer: Layer) -> Tensor:
    return layer.B if isinstance(layer, LowRank) else layer.tensor


def _with_rows(layer: Layer, rows: Tensor) -> Layer:
    return replace(layer, B=rows) if isinstance(layer, LowRank) else replace(layer, tensor=rows)
