"""Intervals for means of crossed scores: contents x styles x seeds.

Scores share contents, styles and seeds, so they are not independent. Each of the three is a random factor: an interval
covers the mean over further contents, styles and seeds like those of the design. A factor of a single level is no
source of variation. With one seed, an interval covers further contents and styles at this seed only.

The variance of a mean is estimated by the sum over the factors f of

    V_f = sum over the levels l of f of (sum of e over the values at l)^2 / (pairs of values at different levels of f),

where e are the deviations from the mean; for a complete design this is the squared standard error of the means of the
n_f levels. The sum counts what the factors share more than once. It is therefore too large where scores vary by single
images alone, and about right where contents, styles or seeds matter; without the overlap it is too small where a rare,
hard style was not drawn. The bounds are quantiles of Student's t with Satterthwaite's degrees of freedom: of shares, on
the logit scale, and of differences, corrected for skewness by Hall's transformation. experiments/statistics has the
coverage.

References:
    A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007): the sum is a conservative variance.
    A. C. Cameron, J. B. Gelbach and D. L. Miller, "Robust inference with multiway clustering", Journal of Business &
    Economic Statistics 29 (2011).
    F. E. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics 2 (1946).
    P. Hall, "On the removal of skewness by transformation", Journal of the Royal Statistical Society B 54 (1992).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution
_ROUNDING = 1e-12  # a bound this close to 0 differs from it by rounding only
_ANGLES = np.linspace(0.0, math.pi / 2, 2001)


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval, of 95 % where nothing else is said."""

    mean: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Tell whether the interval lies on one side of 0."""
        return self.low > _ROUNDING or self.high < -_ROUNDING


def crossed_interval(values: NDArray[np.floating], *, shares: bool = False, coverage: float = 0.95) -> Estimate:
    """Return the mean of crossed values with its t interval over contents, styles and seeds.

    Args:
        values: Values (contents, styles, seeds).
        shares: Whether the values are scores of 0 to 1. The interval of a share is made on the logit scale: it is
            wider towards 0.5 and never leaves 0 to 1. Where all values are 0, or all are 1, the bounds are Wilson's for
            as many images as there are pairs. Not for differences.
        coverage: Nominal coverage of the interval; of shares that are all alike it is 0.95.

    Returns:
        The estimate; the bounds are NaN where no factor has two levels.

    Raises:
        ValueError: The array is not 3-D, is empty or holds a value that is not finite, or a share is not within 0 to 1.
    """
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected finite (contents, styles, seeds) values, found shape {values.shape}")
    return _interval(values, shares, coverage)


def incomplete_crossed_interval(values: NDArray[np.floating], *, shares: bool = False) -> Estimate:
    """Return the mean and interval of `crossed_interval` where some values are missing (NaN).

    Args:
        values: Values (contents, styles, seeds), NaN where missing.
        shares: Whether the values are scores of 0 to 1, see `crossed_interval`.

    Returns:
        The mean of the values that are present, with its interval.

    Raises:
        ValueError: The array is not 3-D, holds an infinite value or has missing values only, or a share is not within
            0 to 1.
    """
    if values.ndim != 3 or np.isnan(values).all() or np.isinf(values).any():
        raise ValueError(f"expected (contents, styles, seeds) values, not all missing, found shape {values.shape}")
    return _interval(values, shares, 0.95)


def paired_interval(a: NDArray[np.floating], b: NDArray[np.floating], *, coverage: float = 0.95) -> Estimate:
    """Return the mean of a - b with its interval, see `crossed_interval`.

    Args:
        a: Values (contents, styles, seeds) of the first method.
        b: Values of the second method at the same pairs and seeds.
        coverage: Nominal coverage of the interval.

    Raises:
        ValueError: The shapes differ, or see `crossed_interval`.
    """
    if a.shape != b.shape:
        raise ValueError(f"expected the same pairs and seeds for both, found shapes {a.shape} and {b.shape}")
    return crossed_interval(np.asarray(a, float) - np.asarray(b, float), coverage=coverage)


def _interval(values: NDArray[np.floating], shares: bool, coverage: float) -> Estimate:
    values = np.asarray(values, float)
    present = ~np.isnan(values)
    chosen = values[present]
    if shares and not (chosen.min() >= 0 and chosen.max() <= 1):
        raise ValueError(
            f"expected shares within 0 to 1, found values of {chosen.min():g} to {chosen.max():g}: "
            "use `shares=False` for differences and other scores"
        )
    mean = float(chosen.mean())
    factors = _factors(np.where(present, values - mean, 0.0), present)
    if not factors:
        return Estimate(mean, math.nan, math.nan)
    if shares and chosen.min() == chosen.max() and mean in (0.0, 1.0):
        return _all_alike(mean, int(present.any(2).sum()))
    variance = sum(factor.variance for factor in factors)
    if variance == 0:
        return Estimate(mean, mean, mean)
    error = math.sqrt(variance)
    freedom = variance**2 / sum(factor.variance**2 / factor.freedom for factor in factors)
    quantile = student_quantile(freedom, coverage)
    if shares:
        logit, half = math.log(mean / (1 - mean)), quantile * error / (mean * (1 - mean))
        return Estimate(mean, _sigmoid(logit - half), _sigmoid(logit + half))
    skewness = sum(factor.third for factor in factors) / error**3
    low, high = (mean - error * _unskewed(t, skewness) for t in (quantile, -quantile))
    return Estimate(mean, low, high)


class _Factor(NamedTuple):
    """V_f, the third moment that its levels give the mean, and its degrees of freedom: the levels minus one."""

    variance: float
    third: float
    freedom: int


def _factors(deviations: NDArray[np.floating], present: NDArray[np.bool_]) -> list[_Factor]:
    """Return the factors of two or more levels."""
    factors = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        counts = present.sum(others).astype(float)
        levels = int((counts > 0).sum())
        if levels > 1:
            apart = float(counts.sum() ** 2 - counts @ counts)  # ordered pairs of values at different levels
            sums = deviations.sum(others)
            third = float((sums**3).sum() / counts.sum() ** 3)
            factors.append(_Factor(float(sums @ sums) / apart, third, levels - 1))
    return factors


def _unskewed(t: float, skewness: float) -> float:
    """Return the value that Hall's cubic transformation of a skewed t statistic takes to `t`.

    The transformation is x + skewness x^2 / 3 + skewness^2 x^3 / 27 + skewness / 6.
    """
    if abs(skewness) < 1e-6:
        return t
    return 3 / skewness * (math.cbrt(1 + skewness * (t - skewness / 6)) - 1)


def _all_alike(mean: float, pairs: int) -> Estimate:
    """Return Wilson's interval where all values are 0 or all are 1, for as many images as there are pairs."""
    furthest = Z**2 / (pairs + Z**2)
    return Estimate(mean, 0.0, furthest) if mean == 0 else Estimate(mean, 1 - furthest, 1.0)


def student_quantile(freedom: float, coverage: float = 0.95) -> float:
    """Return the quantile t of Student's distribution with P(-t < T < t) = coverage.

    With t = sqrt(nu) tan(u), the density of u is proportional to cos(u)^(nu - 1) on (-pi/2, pi/2), which is integrated
    numerically.

    Args:
        freedom: Degrees of freedom nu, 1 or more, not necessarily whole.
        coverage: 0.95 gives the quantile of 97.5 %.
    """
    freedom = min(freedom, 1000.0)
    density = np.cos(_ANGLES) ** (freedom - 1)
    area = np.concatenate(([0.0], np.cumsum(density[1:] + density[:-1])))
    return math.sqrt(freedom) * math.tan(float(np.interp(coverage * area[-1], area, _ANGLES)))


def _sigmoid(logit: float) -> float:
    return (1 + math.tanh(logit / 2)) / 2
