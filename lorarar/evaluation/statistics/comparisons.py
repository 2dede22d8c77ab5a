"""Comparisons of methods: paired tests, and corrections for many tests."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_EXACT_UNITS = 24  # up to this number of units every sign pattern counts, 2^24 of them in two halves
_LARGEST_SUM = 100_000  # of differences on a common grid, up to which all patterns count, for any number of units
_DENOMINATORS = range(1, 4097)
_SLACK = 1e-9  # relative; sums that differ by rounding only count as equal


class FlipTest(NamedTuple):
    """Result of a sign-flip test.

    Attributes:
        p: The two-sided p-value.
        error: Standard error of the p-value from random sign patterns; 0 for an exact one.
    """

    p: float
    error: float = 0.0


def sign_flip(
    differences: NDArray[np.floating],
    groups: Sequence[Hashable] | None = None,
    *,
    draws: int = 20000,
    seed: int = 0,
) -> FlipTest:
    """Run a two-sided paired sign-flip permutation test.

    Under the null hypothesis that two methods are equal, each difference is as likely as its negative. The p-value is
    the share of sign patterns whose absolute sum is at least the observed one. Units without a difference are dropped,
    since their sign changes no sum. The p-value is exact up to 24 units, and for more where the differences are
    multiples of a common number, such as 1/16 for four votes of quarters: then dynamic programming counts the patterns
    of each sum. Otherwise ``draws`` random patterns are used, the observed one counts as one of them,
    p = (1 + count) / (1 + draws), and the standard error sqrt(p (1 - p) / draws) is returned with it.

    Args:
        differences: Differences (n,), one per pair: the mean over the images of the pair, first method minus second.
        groups: For each pair the unit whose sign flips as a whole, such as its content. None flips each pair
            separately, which assumes that pairs are independent.
        draws: Number of random sign patterns.
        seed: Seed of the random patterns.

    Raises:
        ValueError: The differences are not 1-D, there are none, or one is not finite.

    Reference: E. J. G. Pitman, "Significance tests which may be applied to samples from any populations" (1937);
    B. Phipson and G. K. Smyth, "Permutation p-values should never be zero" (2010), for the random draws.
    """
    values = np.asarray(differences, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected finite differences (n,), found shape {values.shape} or values that are not finite")
    sums = _group_sums(values, groups)
    sums = sums[np.abs(sums) > _SLACK * np.abs(sums).max()]
    observed = abs(sums.sum()) - _SLACK * np.abs(sums).sum()
    if observed <= 0:  # no differences, or differences that cancel: every pattern reaches the observed sum
        return FlipTest(1.0)
    steps = _on_grid(sums)
    if steps is not None:
        return FlipTest(_count_by_sum(steps))
    if len(sums) <= _EXACT_UNITS:
        return FlipTest(_count_by_halves(sums, observed))
    signs = np.random.default_rng(seed).integers(0, 2, (draws, len(sums))) * 2.0 - 1
    p = float((1 + np.sum(np.abs(signs @ sums) >= observed)) / (1 + draws))
    return FlipTest(p, math.sqrt(p * (1 - p) / draws))


def _on_grid(sums: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Return the sums as multiples of a common number; None without one, or where they are too many steps."""
    ratios = sums / np.abs(sums).min()
    for denominator in _DENOMINATORS:
        scaled = ratios * denominator
        steps = np.rint(scaled)
        if np.abs(scaled - steps).max() < 1e-6:
            whole: NDArray[np.int64] = steps.astype(np.int64) // np.gcd.reduce(steps.astype(np.int64))
            return whole if np.abs(whole).sum() <= _LARGEST_SUM else None
    return None


def _count_by_sum(steps: NDArray[np.int64]) -> float:
    """Return the share of sign patterns with an absolute sum of at least the observed one, by dynamic programming."""
    # shares[k]: share of patterns with the sum k - (total of the steps so far); a step moves it up or down.
    shares = np.ones(1)
    for step in np.abs(steps):
        moved = np.zeros(len(shares) + 2 * step)
        moved[: len(shares)] += shares / 2
        moved[2 * step :] += shares / 2
        shares = moved
    total, observed = int(np.abs(steps).sum()), abs(int(steps.sum()))
    return min(1.0, float(shares[np.abs(np.arange(-total, total + 1)) >= observed].sum()))


def _count_by_halves(sums: NDArray[np.float64], observed: float) -> float:
    """Return the share of all sign patterns with an absolute sum of at least `observed`.

    The patterns of either half are enumerated; for each sum of one half, the sums of the other that reach the threshold
    are counted in their sorted order.
    """
    middle = len(sums) // 2
    first, second = (_pattern_sums(half) for half in (sums[:middle], sums[middle:]))
    second.sort()
    high = len(second) - np.searchsorted(second, observed - first, side="left")
    low = np.searchsorted(second, -observed - first, side="right")
    return min(1.0, float(high.sum() + low.sum()) / (len(first) * len(second)))


def _pattern_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums (2^n,) of all sign patterns of n values."""
    totals = np.zeros(1)
    for value in values:
        totals = np.concatenate((totals - value, totals + value))
    return totals


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's method, which controls the probability of any false rejection.

    The i-th smallest of n p-values becomes max over j <= i of min(1, (n - j + 1) p_(j)).

    Reference: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
    (1979).
    """
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def tied_set(means: Mapping[str, float], differs: Mapping[frozenset[str], bool]) -> tuple[str, ...]:
    """Return the methods that do not differ from the best method, sorted by mean, the best first.

    Args:
        means: Mean of each method; higher is better.
        differs: For each two methods, whether their difference is significant.
    """
    ranked = sorted(means, key=lambda name: (-means[name], name))
    return tuple(name for name in ranked if name == ranked[0] or not differs[frozenset((ranked[0], name))])


def mcnemar(first_only: int, second_only: int) -> float:
    """Return the exact two-sided p-value of McNemar's test for two methods on the same images.

    p = min(1, 2 P(X <= min(a, b))), where X is binomial with a + b trials and probability 1/2. The test assumes that
    images are independent; where pairs share contents and styles it rejects too often.

    Args:
        first_only: Number a of images that only the first method got right.
        second_only: Number b of images that only the second method got right.

    Reference: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947), in its exact binomial form.
    """
    n, fewer = first_only + second_only, min(first_only, second_only)
    tail = sum(math.comb(n, i) for i in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**n))


def _group_sums(values: NDArray[np.float64], groups: Sequence[Hashable] | None) -> NDArray[np.float64]:
    if groups is None:
        return values
    if len(groups) != len(values):
        raise ValueError(f"expected one group per difference ({len(values)}), found {len(groups)}")
    sums: dict[Hashable, float] = {}
    for group, value in zip(groups, values, strict=True):
        sums[group] = sums.get(group, 0.0) + float(value)
    return np.array(list(sums.values()))
