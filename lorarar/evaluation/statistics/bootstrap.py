"""Bootstrap intervals for scores of crossed pairs: contents x styles x seeds.

Pairs share contents and styles, so they are not independent. Whole contents and whole styles are therefore resampled
instead of pairs.

Reference: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution
_ROUNDING = 1e-12  # a bound this close to 0 differs from it by rounding only


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Tell whether the interval lies on one side of 0."""
        return self.low > _ROUNDING or self.high < -_ROUNDING


def crossed_interval(values: NDArray[np.floating], *, resamples: int = 4000, seed: int = 0) -> Estimate:
    """Return the mean of crossed values with the percentile interval of a crossed bootstrap.

    Contents, styles and seeds are drawn with replacement, independently of each other. Each resample averages the
    values at all combinations of the drawn contents, styles and seeds.

    Args:
        values: Values (contents, styles, seeds).
        resamples: Number of resamples.
        seed: Seed of the random draws.

    Raises:
        ValueError: The array is not 3-D, is empty or holds a value that is not finite.

    Reference: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007).
    """
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected finite (contents, styles, seeds) values, found shape {values.shape}")
    means = _resampled_sums(values, crossed_weights(values.shape, resamples, seed))
    return Estimate(float(values.mean()), *_percentile_bounds(means))


def incomplete_crossed_interval(
    values: NDArray[np.floating], *, draw_seeds: bool = True, resamples: int = 4000, seed: int = 0
) -> Estimate:
    """Return the mean and interval of `crossed_interval` where some values are missing (NaN).

    The estimate is the mean of the values that are present, and so is the mean of each resample. A resample that draws
    missing values only is left out.

    Args:
        values: Values (contents, styles, seeds), NaN where missing.
        draw_seeds: Whether seeds are resampled too. This suits seeds that have the same effect on all pairs; for
            others it widens the interval needlessly.
        resamples: Number of resamples.
        seed: Seed of the random draws.

    Raises:
        ValueError: The array is not 3-D, holds an infinite value or has missing values only.

    Reference: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007), section 3.
    """
    present = ~np.isnan(values)
    if values.ndim != 3 or not present.any() or np.isinf(values).any():
        raise ValueError(f"expected (contents, styles, seeds) values, not all missing, found shape {values.shape}")
    totals, counts = np.where(present, values, 0.0), present.astype(float)
    if not draw_seeds:
        totals, counts = totals.sum(2, keepdims=True), counts.sum(2, keepdims=True)
    weights = crossed_weights(totals.shape, resamples, seed)
    sums, shares = _resampled_sums(totals, weights), _resampled_sums(counts, weights)
    has_values = shares > 0
    return Estimate(float(values[present].mean()), *_percentile_bounds(sums[has_values] / shares[has_values]))


def paired_interval(a: NDArray[np.floating], b: NDArray[np.floating]) -> Estimate:
    """Return the mean of a - b with its interval, see `crossed_interval`.

    Args:
        a: Values (contents, styles, seeds) of the first method.
        b: Values of the second method at the same pairs and seeds.

    Raises:
        ValueError: The shapes differ, or see `crossed_interval`.
    """
    if a.shape != b.shape:
        raise ValueError(f"expected the same pairs and seeds for both, found shapes {a.shape} and {b.shape}")
    return crossed_interval(np.asarray(a, float) - np.asarray(b, float))


def crossed_weights(shape: tuple[int, ...], resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """Draw the weights of a crossed bootstrap.

    Returns:
        For each axis of length n the weights (resamples, n): how often each level was drawn, divided by n.
    """
    random = np.random.default_rng(seed)
    return [random.multinomial(n, np.full(n, 1 / n), size=resamples) / n for n in shape]


def _resampled_sums(values: NDArray[np.floating], weights: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the weighted sums (resamples,) of values (contents, styles, seeds)."""
    contents, styles, seeds = weights
    of_contents = (contents @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
    sums: NDArray[np.float64] = np.einsum("rst,rs,rt->r", of_contents, styles, seeds)
    return sums


def _percentile_bounds(means: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
