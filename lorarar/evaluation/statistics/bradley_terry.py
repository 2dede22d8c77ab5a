"""Strengths of methods from pairwise preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.bootstrap import Estimate, crossed_weights

_ITERATIONS = 10000
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class MethodStrengths:
    """Logarithms of strengths, their mean 0, with bootstrap intervals.

    Attributes:
        estimates: one a method, in the order given. Their difference d means a chance of 1 / (1 + exp(-d)) to be
            preferred. An interval is NaN when over one in twenty resamples had no finite strengths.
        resamples: how many resamples had finite strengths.
    """

    estimates: tuple[Estimate, ...]
    resamples: int


def bradley_terry(wins: NDArray[np.floating]) -> NDArray[np.float64]:
    """Maximum-likelihood strengths of methods that were compared two at a time.

    Args:
        wins: (.., methods, methods): how often the row's method was preferred to the column's; a tie is half a win for
            both. Leading axes are problems of their own.

    Returns:
        Logarithms of strengths (.., methods), with mean 0. NaN throughout a problem that has no finite solution: where
        the methods fall into two groups of which one never wins a comparison against the other.

    Reference: R. A. Bradley and M. E. Terry (1952); D. R. Hunter, "MM algorithms for generalized Bradley-Terry models",
    Annals of Statistics 32 (2004), equation 3.
    """
    wins = np.asarray(wins, float)
    met = wins + wins.swapaxes(-1, -2)
    won = wins.sum(-1)
    solvable = _connected(wins)
    strengths = np.where(solvable[..., None], np.ones_like(won), np.nan)
    for _ in range(_ITERATIONS):
        sums = strengths[..., :, None] + strengths[..., None, :]
        following = won / (met / sums).sum(-1)
        following /= np.exp(np.log(following).mean(-1, keepdims=True))
        change = np.abs(np.log(following / strengths))[solvable].max(initial=0.0)
        strengths = following
        if change < _TOLERANCE:
            break
    logs: NDArray[np.float64] = np.log(strengths)
    return logs


def bradley_terry_intervals(
    wins: NDArray[np.floating], names: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> MethodStrengths:
    """`bradley_terry` over crossed pairs, with percentile intervals of a crossed bootstrap.

    Args:
        wins: (contents, styles, methods, methods), each pair's own wins.
        names: of the methods, for messages.

    Raises:
        ValueError: there is no finite solution; the message names a group that never wins against the rest.
    """
    total = wins.sum((0, 1))
    if not _connected(total):
        raise ValueError(_explain(total, names))
    means = bradley_terry(total)
    weights = crossed_weights(wins.shape[:2], resamples, seed)
    drawn = bradley_terry(np.einsum("csij,rc,rs->rij", wins, *weights, optimize=True))
    finite = drawn[np.isfinite(drawn).all(-1)]
    bounds = np.full((2, len(names)), np.nan)
    if len(finite) >= 0.95 * resamples:
        bounds = np.quantile(finite, [0.025, 0.975], axis=0)
    estimates = (Estimate(float(m), float(low), float(high)) for m, low, high in zip(means, *bounds, strict=True))
    return MethodStrengths(tuple(estimates), len(finite))


def _connected(wins: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether wins lead from each method to every other one: Ford's condition for finite strengths."""
    return np.asarray(_reach(wins).all((-1, -2)))


def _reach(wins: NDArray[np.floating]) -> NDArray[np.bool_]:
    reach = (wins > 0) | np.eye(wins.shape[-1], dtype=bool)
    for middle in range(wins.shape[-1]):
        reach = reach | (reach[..., :, middle, None] & reach[..., None, middle, :])
    return reach


def _explain(wins: NDArray[np.floating], names: Sequence[str]) -> str:
    reach = _reach(wins)
    weakest = reach[reach.sum(-1).argmin()]
    inside = [name for name, reached in zip(names, weakest, strict=True) if reached]
    outside = [name for name, reached in zip(names, weakest, strict=True) if not reached]
    return (
        f"expected wins that lead from each method to every other one, found none of {', '.join(inside)} over any of "
        f"{', '.join(outside)}: no finite strengths fit that. Compare more images, or leave such methods out"
    )
