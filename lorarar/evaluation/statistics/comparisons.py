"""Is one method better than another? Paired tests, and what to do about many of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_EXACT_UNITS = 14  # 2^14 sign patterns at most are all tried
_SLACK = 1e-9  # sums that differ by rounding only are the same


def sign_flip(
    differences: NDArray[np.floating],
    groups: Sequence[Hashable] | None = None,
    *,
    draws: int = 20000,
    seed: int = 0,
) -> float:
    """The two-sided p-value of a paired sign-flip permutation test that two methods are alike.

    If they are, each difference is as likely as its negative. Up to 14 units all sign patterns are tried (so that
    n units cannot give less than 2 / 2^n); beyond, ``draws`` random ones, the observed one counted among them.

    Args:
        differences: (n,), one a pair: the means over the pair's images, first method minus second.
        groups: for each pair the unit whose sign is flipped as a whole, such as its content; None flips each pair
            by itself, which takes pairs as independent of each other.

    Raises:
        ValueError: the differences are not one-dimensional, are none, or are not finite.

    Reference: E. J. G. Pitman, "Significance tests which may be applied to samples from any populations" (1937);
    B. Phipson and G. K. Smyth, "Permutation p-values should never be zero" (2010), for the random draws.
    """
    values = np.asarray(differences, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected finite differences (n,), found shape {values.shape}")
    sums = _group_sums(values, groups)
    observed = abs(sums.sum()) - _SLACK * np.abs(sums).sum()
    if len(sums) <= _EXACT_UNITS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(sums))))
        return float(np.mean(np.abs(signs @ sums) >= observed))
    signs = np.random.default_rng(seed).integers(0, 2, (draws, len(sums))) * 2.0 - 1
    return float((1 + np.sum(np.abs(signs @ sums) >= observed)) / (1 + draws))


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted so that the chance of any false finding among them stays below the level.

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
    """The methods that cannot be told from the best one, the best first, by falling mean.

    Args:
        differs: for each two methods whether their difference was found real.
    """
    ranked = sorted(means, key=lambda name: (-means[name], name))
    return tuple(name for name in ranked if name == ranked[0] or not differs[frozenset((ranked[0], name))])


def mcnemar(first_only: int, second_only: int) -> float:
    """The exact two-sided p-value for images that only one of two methods got right.

    It takes images as independent; where pairs share contents and styles it finds differences that are not there.

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
        raise ValueError(f"expected one group a difference ({len(values)}), found {len(groups)}")
    sums: dict[Hashable, float] = {}
    for group, value in zip(groups, values, strict=True):
        sums[group] = sums.get(group, 0.0) + float(value)
    return np.array(list(sums.values()))
