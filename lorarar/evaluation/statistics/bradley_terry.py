"""Bradley-Terry model: strengths of methods from pairwise preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.intervals import Estimate

_ITERATIONS = 10000
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class MethodStrengths:
    """Log strengths of methods, with mean 0, and their bootstrap intervals.

    Attributes:
        estimates: One estimate per method, in the given order. A difference d between two methods means that the first
            is preferred with probability 1 / (1 + exp(-d)). An interval is NaN when more than one in twenty resamples
            had no finite strengths.
        resamples: Number of resamples with finite strengths.
    """

    estimates: tuple[Estimate, ...]
    resamples: int


def fit_bradley_terry(wins: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the maximum-likelihood strengths of methods that were compared in pairs.

    The model is P(i preferred to j) = g_i / (g_i + g_j). Each iteration sets
    g_i = W_i / sum_j N_ij / (g_i + g_j), where W_i are the wins of i and N_ij the comparisons of i and j.

    Args:
        wins: Wins (.., methods, methods): how often the method of the row was preferred to that of the column. A tie
            is half a win for each. Leading axes are independent problems.

    Returns:
        Log strengths (.., methods) with mean 0. All are NaN for a problem without a finite solution: the methods fall
        into two groups, and one group never wins a comparison against the other.

    Reference: R. A. Bradley and M. E. Terry (1952); D. R. Hunter, "MM algorithms for generalized Bradley-Terry models",
    Annals of Statistics 32 (2004), equation 3.
    """
    wins = np.asarray(wins, float)
    comparisons = wins + wins.swapaxes(-1, -2)
    totals = wins.sum(-1)
    solvable = _connected(wins)
    strengths = np.where(solvable[..., None], np.ones_like(totals), np.nan)
    for _ in range(_ITERATIONS):
        sums = strengths[..., :, None] + strengths[..., None, :]
        following = totals / (comparisons / sums).sum(-1)
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
    """Return the strengths of `fit_bradley_terry` over crossed pairs, with percentile intervals of a crossed bootstrap.

    Args:
        wins: Wins (contents, styles, methods, methods) of each pair.
        names: Names of the methods, for messages.
        resamples: Number of resamples.
        seed: Seed of the random draws.

    Raises:
        ValueError: There is no finite solution. The message names a group that never wins against the rest.
    """
    total = wins.sum((0, 1))
    if not _connected(total):
        raise ValueError(_explain(total, names))
    means = fit_bradley_terry(total)
    weights = _crossed_weights(wins.shape[:2], resamples, seed)
    resampled = fit_bradley_terry(np.einsum("csij,rc,rs->rij", wins, *weights, optimize=True))
    finite = resampled[np.isfinite(resampled).all(-1)]
    bounds = np.full((2, len(names)), np.nan)
    if len(finite) >= 0.95 * resamples:
        bounds = np.quantile(finite, [0.025, 0.975], axis=0)
    estimates = (Estimate(float(m), float(low), float(high)) for m, low, high in zip(means, *bounds, strict=True))
    return MethodStrengths(tuple(estimates), len(finite))


def _crossed_weights(shape: tuple[int, ...], resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """Draw the weights of a crossed bootstrap: contents and styles with replacement, independently of each other.

    Returns:
        For each axis of length n the weights (resamples, n): how often each level was drawn, divided by n.

    Reference: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007).
    """
    random = np.random.default_rng(seed)
    return [random.multinomial(n, np.full(n, 1 / n), size=resamples) / n for n in shape]


def _connected(wins: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell whether wins lead from each method to every other one: Ford's condition for finite strengths."""
    return np.asarray(_reach(wins).all((-1, -2)))


def _reach(wins: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell, for each two methods, whether a chain of wins leads from the row to the column (Warshall's algorithm)."""
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
        f"{', '.join(outside)}: no finite strengths exist. Compare more images, or leave these methods out"
    )
