"""Stored layers that are several of diffusers' layers: fused projections, split by rows, exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lorarar.lora import Layer, LowRank


@dataclass(frozen=True)
class Rows:
    """Which of diffusers' layers the rows of a stored layer are.

    Args:
        shares: (layer path, its share of the rows), from the top.
        halves: Whether the layer's two halves change places: a last modulation is stored as shift and scale by the
            models' authors, as scale and shift by diffusers. One of more parts (out > 2 in) stays as it is.
    """

    shares: tuple[tuple[str, int], ...]
    halves: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """The layers' paths, from the top."""
        return tuple(path for path, _ in self.shares)


def whole(path: str) -> Rows:
    """A stored layer that is one layer."""
    return Rows(((path, 1),))


def divide(layer: Layer, rows: Rows, width: int) -> dict[str, Layer]:
    """The layers whose rows a stored layer holds.

    Files that fuse projections of factors of their own hold B as a block diagonal: what is zero in a part's B is left
    out of its rank, and a part of zeros only is no layer, unless all are.

    Args:
        layer: The stored layer's delta, (out, in) or a bias (out,).
        rows: What its rows are.
        width: The stored layer's in; 0 where a bias comes without its weight.

    Raises:
        ValueError: The rows cannot be shared out so.
    """
    if rows.halves and not width:
        raise ValueError("a bias of the last modulation came without its weight, which says what its halves are")
    if rows.halves and layer.shape[0] == 2 * width:
        layer = _with_rows(layer, torch.cat(_stored(layer).chunk(2)[::-1]))
    if len(rows.shares) == 1:
        return {rows.shares[0][0]: layer}
    total, out = sum(share for _, share in rows.shares), layer.shape[0]
    width = width or out // total
    if out != total * width:
        raise ValueError(
            f"a layer that fuses {len(rows.shares)} projections must have {total} times as many rows as its {width} "
            f"columns, found {out}: it belongs to a model that is not known here"
        )
    parts = torch.split(_stored(layer), [share * width for _, share in rows.shares])
    kept = [bool(part.any()) for part in parts]
    return {
        path: _thinned(_with_rows(layer, part))
        for path, part, keep in zip(rows.paths, parts, kept, strict=True)
        if keep or not any(kept)
    }


def _thinned(layer: Layer) -> Layer:
    """The same delta without the columns of B that are zero."""
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
