"""Truncation: a LoRA of lower rank, with the error of the approximation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank, from_svd, norm, thin_svd

_SPARE = 8  # directions of a subspace iteration beyond the rank


@dataclass(frozen=True)
class TruncationLoss:
    """Part of one layer that a truncation removed.

    Attributes:
        lost: Frobenius norm of the removed part.
        total: Frobenius norm of the whole delta.
    """

    lost: float
    total: float

    @property
    def relative(self) -> float:
        """Relative error lost / total, 0 to 1; 0.0 for a zero delta."""
        return self.lost / self.total if self.total else 0.0


def truncate_lora(
    lora: LoRA, *, rank: int | None = None, energy: float | None = None
) -> tuple[LoRA, dict[str, TruncationLoss]]:
    """Replace each layer by its best approximation of lower rank.

    Either `rank` bounds the rank of every layer, or `energy` selects the lowest rank that keeps this share of the
    layer's squared Frobenius norm.

    Args:
        lora: The LoRA to truncate.
        rank: Largest rank of a layer, at least 1.
        energy: Share of each layer's squared Frobenius norm to keep, more than 0 and at most 1.

    Returns:
        The truncated LoRA, whose 2-D layers are all low-rank, and the loss of each 2-D layer. Norms and biases (1-D)
        stay unchanged and have no entry. Layers of sufficiently low rank stay unchanged and have a loss of 0.

    Raises:
        ValueError: Neither or both of rank and energy are given, or the given one is out of range.
    """
    layers: dict[str, Layer] = {}
    losses: dict[str, TruncationLoss] = {}
    for layer, delta in lora.layers.items():
        layers[layer], loss = truncate_layer(delta, rank=rank, energy=energy)
        if len(delta.shape) == 2:
            losses[layer] = loss
    return replace(lora, layers=layers), losses


def truncate_layer(
    layer: Layer, *, rank: int | None = None, energy: float | None = None
) -> tuple[Layer, TruncationLoss]:
    """Truncate one layer, as `truncate_lora` does.

    A low-rank layer is truncated through its factors, a dense one by subspace iteration (`compress_layer`) or, to an
    energy, through its SVD. A 1-D layer stays unchanged.

    Args:
        layer: Delta of shape (out, in) or (n,).
        rank: Largest rank, at least 1.
        energy: Share of the squared Frobenius norm to keep, more than 0 and at most 1.

    Returns:
        The layer and its loss.

    Raises:
        ValueError: Neither or both of rank and energy are given, or the given one is out of range.
    """
    _check_target(rank, energy)
    if len(layer.shape) == 1:
        return layer, TruncationLoss(0.0, float(layer.delta().norm()))
    if isinstance(layer, Dense) and rank is not None:
        return compress_layer(layer, rank)
    if isinstance(layer, LowRank) and rank is not None and layer.rank <= rank:
        return layer, TruncationLoss(0.0, float(norm(layer)))
    u, s, vh = thin_svd(layer) if isinstance(layer, LowRank) else torch.linalg.svd(layer.delta(), full_matrices=False)
    squares = s.detach().double().square()
    kept = rank if rank is not None else _rank_that_keeps(squares, energy or 1.0)
    loss = TruncationLoss(math.sqrt(float(squares[kept:].sum())), math.sqrt(float(squares.sum())))
    if isinstance(layer, LowRank) and layer.rank <= kept:
        return layer, TruncationLoss(0.0, loss.total)
    return from_svd(u[:, :kept], s[:kept], vh[:kept], layer.kernel), loss


def compress_layer(
    layer: Dense, rank: int, basis: Tensor | None = None, *, rounds: int = 4
) -> tuple[LowRank, TruncationLoss]:
    """Approximate a dense delta at a given rank by subspace iteration, much faster than by its whole SVD.

    With dW the delta and Q_0 the basis and `_SPARE` more rows, made orthonormal, each round computes

        P = orth(dW Q),    Q = orth(dW^T P),

    and the result is the best approximation of that rank within the last Q. On merged LoRAs its error exceeded that of
    the truncated SVD by .1 %. Where the rank is nearly that of the delta, the SVD itself is taken.

    Args:
        layer: Delta of shape (out, in).
        rank: Largest rank of the result.
        basis: Rows (rank, in) near the delta's, such as the down factors of the merged LoRAs; None takes random
            combinations of the delta's own rows, the same ones in each call.
        rounds: Number of rounds.

    Returns:
        The layer, whose rank is at most `out` and `in`, and its loss.

    Reference:
        Halko, Martinsson and Tropp, arXiv 0909.4061, algorithm 4.4.
    """
    delta = layer.delta()
    if rank + _SPARE >= min(delta.shape):
        u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    else:
        count = rank + _SPARE if basis is None else _SPARE
        weights = torch.randn(count, len(delta), generator=torch.Generator().manual_seed(0))
        rows = weights.to(delta) @ delta
        q = torch.linalg.qr((rows if basis is None else torch.cat([basis.to(delta), rows])).mT).Q
        for _ in range(rounds):
            q = torch.linalg.qr(delta.mT @ torch.linalg.qr(delta @ q).Q).Q
        u, s, vh = torch.linalg.svd(delta @ q, full_matrices=False)
        vh = vh @ q.mT
    u, s, vh = u[:, :rank], s[:rank], vh[:rank]
    loss = TruncationLoss(float((delta - (u * s) @ vh).norm()), float(delta.norm()))
    return from_svd(u, s, vh, layer.kernel), loss


def relative_error(losses: Iterable[TruncationLoss]) -> float:
    """Return the relative error of all layers together, sqrt(sum lost^2 / sum total^2); 0.0 without layers."""
    parts = list(losses)
    whole = TruncationLoss(math.hypot(*(loss.lost for loss in parts)), math.hypot(*(loss.total for loss in parts)))
    return whole.relative


def _rank_that_keeps(squares: Tensor, energy: float) -> int:
    """Return the smallest count, at least 1, of leading squares (descending) whose sum is this share of the total."""
    sums = squares.cumsum(0)
    return min(int((sums < energy * sums[-1]).sum()) + 1, len(sums))


def _check_target(rank: int | None, energy: float | None) -> None:
    if (rank is None) == (energy is None):
        raise ValueError(f"expected either `rank` or `energy`, found rank {rank} and energy {energy}: give one of them")
    if rank is not None and rank < 1:
        raise ValueError(f"expected a rank of at least 1, found {rank}: give a larger one")
    if energy is not None and not 0 < energy <= 1:
        raise ValueError(f"expected an energy above 0 and at most 1, found {energy}: give a share such as 0.99")
