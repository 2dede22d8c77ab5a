"""Intervals for scores of crossed pairs: contents x styles x seeds.

Pairs share contents and styles, so they are not independent; whole contents and whole styles are
resampled, not pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
_ROUNDING = 1e-12  # a bound that is 0 up to rounding is 0


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > _ROUNDING or self.high < -_ROUNDING


def crossed_interval(values: NDArray[np.floating], *, resamples: int = 4000, seed: int = 0) -> Estimate:
    """The mean of (contents, styles, seeds) values with a percentile interval of a crossed bootstrap.

    Contents, styles and seeds are drawn with replacement, each by themselves, and all values of the
    drawn ones are averaged.

    Raises:
        ValueError: the array is not 3-D, is empty or holds a value that is not finite.

    Reference: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007).
    """
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected finite (contents, styles, seeds) values, found shape {values.shape}")
    means = _resampled_sums(values, crossed_weights(values.shape, resamples, seed))
    return Estimate(float(values.mean()), *_middle(means))


def incomplete_crossed_interval(
    values: NDArray[np.floating], *, draw_seeds: bool = True, resamples: int = 4000, seed: int = 0
) -> Estimate:
    """As `crossed_interval`, where values may be missing: NaN.

    The estimate is the mean of the values that are there, and so is each resample's. A resample that draws missing
    values only is left out.

    Args:
        draw_seeds: whether seeds are resampled too. That is for seeds that act alike on all pairs; where they do not,
            it widens the interval without need.

    Raises:
        ValueError: the array is not 3-D, holds an infinite value or nothing but missing ones.

    Reference: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007), section 3.
    """
    there = ~np.isnan(values)
    if values.ndim != 3 or not there.any() or np.isinf(values).any():
        raise ValueError(f"expected (contents, styles, seeds) values, not all missing, found shape {values.shape}")
    totals, counts = np.where(there, values, 0.0), there.astype(float)
    if not draw_seeds:
        totals, counts = totals.sum(2, keepdims=True), counts.sum(2, keepdims=True)
    weights = crossed_weights(totals.shape, resamples, seed)
    sums, shares = _resampled_sums(totals, weights), _resampled_sums(counts, weights)
    drawn = shares > 0
    return Estimate(float(values[there].mean()), *_middle(sums[drawn] / shares[drawn]))


def paired_interval(a: NDArray[np.floating], b: NDArray[np.floating]) -> Estimate:
    """The mean of a - b, both (contents, styles, seeds) at the same pairs and seeds, with its interval."""
    if a.shape != b.shape:
        raise ValueError(f"expected the same pairs and seeds for both, found shapes {a.shape} and {b.shape}")
    return crossed_interval(np.asarray(a, float) - np.asarray(b, float))


def crossed_weights(shape: tuple[int, ...], resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """For each axis of a crossed design the weights (resamples, n) of its n levels: the times it was drawn, over n."""
    random = np.random.default_rng(seed)
    return [random.multinomial(n, np.full(n, 1 / n), size=resamples) / n for n in shape]


def _resampled_sums(values: NDArray[np.floating], weights: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    contents, styles, seeds = weights
    of_contents = (contents @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
    sums: NDArray[np.float64] = np.einsum("rst,rs,rt->r", of_contents, styles, seeds)
    return sums


def _middle(means: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
