"""Rank correlation: whether two scores order items in the same way, with intervals for crossed pairs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.intervals import Estimate


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return Spearman's correlation of two scores: Pearson's correlation of their ranks.

    Tied values share the mean of their ranks.

    Args:
        a: First score (n,).
        b: Second score (n,) of the same items.

    Returns:
        -1 to 1; NaN where a score is the same for all items.

    Reference: C. Spearman, "The proof and measurement of association between two things" (1904).
    """
    first, second = (_ranks(np.asarray(values, float)) for values in (a, b))
    first, second = first - first.mean(), second - second.mean()
    size = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / size if size > 0 else math.nan


def crossed_spearman(
    a: NDArray[np.floating], b: NDArray[np.floating], *, resamples: int = 1000, seed: int = 0
) -> Estimate:
    """Return Spearman's correlation of two crossed scores with a 95 % percentile interval.

    Contents and styles are drawn with replacement, independently of each other; the images of a pair stay together. A
    resample in which a score is constant is left out.

    Args:
        a: First score (contents, styles, images).
        b: Second score of the same images.
        resamples: Number of resamples.
        seed: Seed of the random draws.

    Raises:
        ValueError: The shapes differ, are not 3-D or are empty, or a value is not finite.

    Reference: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007).
    """
    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.shape != second.shape or first.ndim != 3 or not first.size or not np.isfinite(first + second).all():
        raise ValueError(
            f"expected finite (contents, styles, images) values of one shape, found shapes {first.shape} and "
            f"{second.shape} or values that are not finite"
        )
    random = np.random.default_rng(seed)
    correlations = []
    for _ in range(resamples):
        chosen = np.ix_(*(random.integers(n, size=n) for n in first.shape[:2]))
        correlations.append(spearman(first[chosen].ravel(), second[chosen].ravel()))
    defined = [value for value in correlations if not math.isnan(value)]
    low, high = np.quantile(defined, [0.025, 0.975]) if defined else (math.nan, math.nan)
    return Estimate(spearman(first.ravel(), second.ravel()), float(low), float(high))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks (n,) up to a constant; ties share their mean."""
    ascending = np.sort(values)
    below, not_above = (np.searchsorted(ascending, values, side) for side in ("left", "right"))
    ranks: NDArray[np.float64] = (below + not_above) / 2.0
    return ranks
