"""Comparison of every two methods on the same pairs, and the methods that tie with the best."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lorarar.evaluation.judge.compare.grid import FloatArray, Grid
from lorarar.evaluation.judge.read.scores import IMAGE_METRICS
from lorarar.evaluation.statistics.comparisons import holm, mcnemar, sign_flip, tied_set
from lorarar.evaluation.statistics.intervals import Estimate

COMPARED = ("mars2", "content", "style")
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class MethodComparison:
    """The difference of a metric, the first method minus the second.

    Attributes:
        difference: The mean over the pairs, with a crossed interval.
        pairs: The number of compared pairs.
        images: The number of compared images; 0 where the methods share no seeds, so that pair means are compared.
        p: Of the paired sign-flip test on pair means.
        p_error: The standard error of `p` where sign patterns are drawn; 0 where it is exact.
        p_contents: Of the same test with flips of whole contents.
        p_styles: Of the same test with flips of whole styles.
        p_holm: ``p`` adjusted for all comparisons of this metric.
        first_only: Images that only the first method got right.
        second_only: Images that only the second method got right.
        p_mcnemar: Of McNemar's test, which assumes that images are independent.
        differs: Whether the methods differ: ``p_holm`` is below 0.05 and the interval excludes 0.
    """

    metric: str
    first: str
    second: str
    difference: Estimate
    pairs: int
    images: int
    p: float
    p_contents: float
    p_styles: float
    first_only: int
    second_only: int
    p_mcnemar: float
    p_error: float = 0.0
    p_holm: float = 1.0
    differs: bool = False


def compare_methods(grid: Grid, metric: str) -> list[MethodComparison]:
    """Compare every two methods on one metric, except those without a pair that is decided for both."""
    values = {method: grid.values(method, IMAGE_METRICS[metric]) for method in grid.methods}
    comparisons = []
    for first, second in itertools.combinations(grid.methods, 2):
        comparison = _compare(grid, metric, (first, second), values)
        if comparison is not None:
            comparisons.append(comparison)
    adjusted = holm([comparison.p for comparison in comparisons])
    return [
        replace(c, p_holm=p, differs=p < SIGNIFICANCE and c.difference.excludes_zero())
        for c, p in zip(comparisons, adjusted, strict=True)
    ]


def tied_methods(means: Mapping[str, float], comparisons: list[MethodComparison]) -> tuple[str, ...]:
    """Return the methods that do not differ from the best one; an untested difference counts as none."""
    differs = {frozenset(pair): False for pair in itertools.combinations(means, 2)}
    differs |= {frozenset((c.first, c.second)): c.differs for c in comparisons}
    return tied_set(means, differs)


def _compare(
    grid: Grid, metric: str, names: tuple[str, str], values: Mapping[str, FloatArray]
) -> MethodComparison | None:
    a, b = values[names[0]], values[names[1]]
    difference, images = a - b, int((~np.isnan(a - b)).sum())
    if not images:
        difference = _pair_means(a)[..., None] - _pair_means(b)[..., None]
    estimate = grid.estimate(difference)
    if estimate is None:
        return None
    pairs = _pair_means(difference)
    decided = ~np.isnan(pairs)
    contents, styles = np.nonzero(decided)
    first_only, second_only = int((a > b).sum()), int((b > a).sum())
    flipped = sign_flip(pairs[decided])
    return MethodComparison(
        metric,
        *names,
        difference=estimate,
        pairs=int(decided.sum()),
        images=images,
        p=flipped.p,
        p_error=flipped.error,
        p_contents=sign_flip(pairs[decided], contents.tolist()).p,
        p_styles=sign_flip(pairs[decided], styles.tolist()).p,
        first_only=first_only,
        second_only=second_only,
        p_mcnemar=mcnemar(first_only, second_only),
    )


def _pair_means(values: FloatArray) -> FloatArray:
    """Return the (contents, styles) means over the decided slots; NaN where there are none."""
    decided = ~np.isnan(values)
    count = decided.sum(2)
    sums = np.where(decided, values, 0.0).sum(2)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
