"""Comparisons of methods: paired tests, and corrections for many tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_EXACT_UNITS = 14  # up to this number of units all sign patterns are enumerated, at most 2^14
_SLACK = 1e-9  # relative; sums that differ by rounding only count as equal


def sign_flip(
    differences: NDArray[np.floating],
    groups: Sequence[Hashable] | None = None,
    *,
    draws: int = 20000,
    seed: int = 0,
) -> float:
    """Return the two-sided p-value of a paired sign-flip permutation test.

    Under the null hypothesis that two methods are equal, each difference is as likely as its negative. The p-value is
    the share of sign patterns whose absolute sum is at least the observed one. Up to 14 units all patterns are
    enumerated, so n units give at least 2 / 2^n. For more units, ``draws`` random patterns are used, and the observed
    pattern counts as one of them: (1 + count) / (1 + draws).

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
    observed = abs(sums.sum()) - _SLACK * np.abs(sums).sum()
    if len(sums) <= _EXACT_UNITS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(sums))))
        return float(np.mean(np.abs(signs @ sums) >= observed))
    signs = np.random.default_rng(seed).integers(0, 2, (draws, len(sums))) * 2.0 - 1
    return float((1 + np.sum(np.abs(signs @ sums) >= observed)) / (1 + draws))


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
