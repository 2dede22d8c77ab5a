"""Stored layers that are several of diffusers' layers: fused projections, split by rows, exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lorarar.lora import Layer
from lorarar.lowrank import LowRank


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

    Args:
        layer: The stored layer's delta, (out, in) or a bias (out,).
        rows: What its rows are.
        width: The stored layer's in.

    Raises:
        ValueError: The rows cannot be shared out so.
    """
    if rows.halves and layer.shape[0] == 2 * width:
        layer = _with_rows(layer, torch.cat(_stored(layer).chunk(2)[::-1]))
    if len(rows.shares) == 1:
        return {rows.shares[0][0]: layer}
    total, out = sum(share for _, share in rows.shares), layer.shape[0]
    if out != total * width:
        raise ValueError(
            f"a layer that fuses {len(rows.shares)} projections must have {total} times as many rows as its {width} "
            f"columns, found {out}: it belongs to a model that is not known here"
        )
    divided, start = {}, 0
    for path, share in rows.shares:
        divided[path] = _with_rows(layer, _stored(layer)[start * width : (start + share) * width])
        start += share
    return divided


def _stored(layer: Layer) -> Tensor:
    return layer.B if isinstance(layer, LowRank) else layer.tensor


def _with_rows(layer: Layer, rows: Tensor) -> Layer:
    return replace(layer, B=rows) if isinstance(layer, LowRank) else replace(layer, tensor=rows)
