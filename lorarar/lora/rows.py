"""Rows of a stored layer: the layers that a file keeps in one, and their order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """diffusers layers in the rows of a stored layer.

    Attributes:
        shares: (layer path, its share of the rows), from the top.
        halves: Whether the halves of the layer are swapped. The authors store a last modulation as shift and scale,
            diffusers stores it as scale and shift. A modulation with more parts (out > 2 in) stays unchanged.
        unit: Columns of the layer for each row of one share: 1 where a share has as many rows as the layer has columns.
    """

    shares: tuple[tuple[str, int], ...]
    halves: bool = False
    unit: int = 1

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the layers, from the top."""
        return tuple(path for path, _ in self.shares)


def whole_layer(path: str) -> Rows:
    """Return the rows of a stored layer that is a single diffusers layer."""
    return Rows(((path, 1),))
