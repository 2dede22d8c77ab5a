"""Intervals for scores of crossed pairs: contents x styles x seeds.

Pairs share contents and styles, so they are not independent; whole contents and whole styles are
resampled, not pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


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
    random = np.random.default_rng(seed)
    weights = [random.multinomial(n, np.full(n, 1 / n), size=resamples) / n for n in values.shape]
    means = np.einsum("cst,rc,rs,rt->r", values, *weights, optimize=True)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def paired_interval(a: NDArray[np.floating], b: NDArray[np.floating]) -> Estimate:
    """The mean of a - b, both (contents, styles, seeds) at the same pairs and seeds, with its interval."""
    if a.shape != b.shape:
        raise ValueError(f"expected the same pairs and seeds for both, found shapes {a.shape} and {b.shape}")
    return crossed_interval(np.asarray(a, float) - np.asarray(b, float))
