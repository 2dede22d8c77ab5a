"""Do two scores order things alike? Rank correlation, with intervals for crossed pairs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.bootstrap import Estimate

Array = NDArray[np.floating]


def spearman(a: Array, b: Array) -> float:
    """Spearman's correlation of two scores (n,) of the same things, -1 to 1, ties sharing the mean of their ranks.

    Returns:
        NaN where one of them is the same for all.

    Reference: C. Spearman, "The proof and measurement of association between two things" (1904).
    """
    first, second = (_ranks(np.asarray(values, float)) for values in (a, b))
    first, second = first - first.mean(), second - second.mean()
    size = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / size if size > 0 else math.nan


def crossed_spearman(a: Array, b: Array, *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Spearman's correlation of two scores (contents, styles, images) with a 95 % percentile interval.

    Contents and styles are drawn with replacement, each by themselves; the images of a pair stay together. A resample
    in which a score is the same for all is left out.

    Raises:
        ValueError: the shapes differ, are not 3-D or are empty, or a value is not finite.

    Reference: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007).
    """
    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.shape != second.shape or first.ndim != 3 or not first.size or not np.isfinite(first + second).all():
        raise ValueError(
            f"expected finite (contents, styles, images) values of one shape, found shapes {first.shape} and "
            f"{second.shape}"
        )
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        chosen = np.ix_(*(random.integers(n, size=n) for n in first.shape[:2]))
        drawn.append(spearman(first[chosen].ravel(), second[chosen].ravel()))
    known = [value for value in drawn if not math.isnan(value)]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (math.nan, math.nan)
    return Estimate(spearman(first.ravel(), second.ravel()), float(low), float(high))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks (n,) from 0, ties sharing their mean."""
    order = np.sort(values)
    ranks: NDArray[np.float64] = (
        np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
    ) / 2.0
    return ranks
