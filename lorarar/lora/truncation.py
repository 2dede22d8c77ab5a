"""Truncation: a LoRA made smaller, layer by layer, with the error that this costs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank, from_svd, norm, svd


@dataclass(frozen=True)
class Loss:
    """What a truncation removed from one layer.

    Args:
        lost: Frobenius norm of the part that was removed.
        total: Frobenius norm of the whole delta.
    """

    lost: float
    total: float

    @property
    def relative(self) -> float:
        """lost / total, 0 to 1; 0.0 for a zero delta."""
        return self.lost / self.total if self.total else 0.0


def truncate_lora(lora: LoRA, *, rank: int | None = None, energy: float | None = None) -> tuple[LoRA, dict[str, Loss]]:
    """The best approximation of each layer, of a given rank or of the least rank that keeps a share of its energy.

    Args:
        lora: What to truncate.
        rank: Largest rank of a layer, at least 1.
        energy: Share of each layer's squared Frobenius norm to keep, more than 0 and at most 1.

    Returns:
        The LoRA, all its 2-D layers low-rank, and for each of them what was lost. Norms and biases (1-D) stay as they
        are and have no entry; so do layers that are small enough already, whose entry says 0.

    Raises:
        ValueError: Not exactly one of rank and energy is given, or it is out of its range.
    """
    layers: dict[str, Layer] = {}
    losses: dict[str, Loss] = {}
    for layer, delta in lora.layers.items():
        layers[layer], loss = truncate_layer(delta, rank=rank, energy=energy)
        if len(delta.shape) == 2:
            losses[layer] = loss
    return replace(lora, layers=layers), losses


def truncate_layer(layer: Layer, *, rank: int | None = None, energy: float | None = None) -> tuple[Layer, Loss]:
    """One layer of `truncate_lora`: low-rank through its factors, dense by its SVD, 1-D as it is.

    Returns:
        The layer, and what was lost.

    Raises:
        ValueError: As `truncate_lora`.
    """
    _check(rank, energy)
    if len(layer.shape) == 1:
        return layer, Loss(0.0, float(layer.delta().norm()))
    if isinstance(layer, LowRank) and rank is not None and layer.rank <= rank:
        return layer, Loss(0.0, float(norm(layer)))
    u, s, vh = svd(layer) if isinstance(layer, LowRank) else torch.linalg.svd(layer.delta(), full_matrices=False)
    squares = s.detach().double().square()
    kept = rank if rank is not None else _rank_that_keeps(squares, energy or 1.0)
    loss = Loss(math.sqrt(float(squares[kept:].sum())), math.sqrt(float(squares.sum())))
    if isinstance(layer, LowRank) and layer.rank <= kept:
        return layer, Loss(0.0, loss.total)
    return from_svd(u[:, :kept], s[:kept], vh[:kept], layer.kernel), loss


def relative_error(losses: Iterable[Loss]) -> float:
    """The relative error of all layers together, sqrt(sum lost^2 / sum total^2); 0.0 where there is nothing."""
    known = list(losses)
    return Loss(math.hypot(*(loss.lost for loss in known)), math.hypot(*(loss.total for loss in known))).relative


def _rank_that_keeps(squares: Tensor, energy: float) -> int:
    """How many of the leading squares, in descending order, sum up to that share of all; at least 1."""
    sums = squares.cumsum(0)
    return min(int((sums < energy * sums[-1]).sum()) + 1, len(sums))


def _check(rank: int | None, energy: float | None) -> None:
    if (rank is None) == (energy is None):
        raise ValueError(f"expected either a rank or an energy to truncate to, found rank {rank} and energy {energy}")
    if rank is not None and rank < 1:
        raise ValueError(f"expected a rank of at least 1, found {rank}")
    if energy is not None and not 0 < energy <= 1:
        raise ValueError(f"expected a share of the energy above 0 and up to 1, such as 0.99, found {energy}")
