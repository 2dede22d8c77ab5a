"""Two methods at a time on the same pairs, and the methods that cannot be told from the best."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lorarar.evaluation.judge.compare.grid import FloatArray, Grid
from lorarar.evaluation.judge.read.scores import IMAGE_METRICS
from lorarar.evaluation.statistics.bootstrap import Estimate
from lorarar.evaluation.statistics.comparisons import holm, mcnemar, sign_flip, tied_set

COMPARED = ("mars2", "content", "style")
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class MethodComparison:
    """A metric of the first method minus the second's.

    Attributes:
        difference: over the pairs, with a crossed interval.
        pairs, images: how many entered; images is 0 where the methods share no seeds and pair means were compared.
        p: of the paired sign-flip test on pair means; p_contents and p_styles flip whole contents and whole styles.
        p_holm: ``p`` adjusted for all comparisons of this metric.
        first_only, second_only, p_mcnemar: images that only one method got right, and McNemar's p-value, which assumes
            that images are independent.
        differs: whether the two can be told apart: ``p_holm`` below 0.05 and an interval that excludes 0.
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
    p_holm: float = 1.0
    differs: bool = False


def compare_methods(grid: Grid, metric: str) -> list[MethodComparison]:
    """Every two methods on one metric; those without a pair decided for both are left out."""
    values = {method: grid.values(method, IMAGE_METRICS[metric]) for method in grid.methods}
    found = []
    for first, second in itertools.combinations(grid.methods, 2):
        comparison = _compare(grid, metric, (first, second), values)
        found += [comparison] if comparison else []
    adjusted = holm([comparison.p for comparison in found])
    return [
        replace(c, p_holm=p, differs=p < SIGNIFICANCE and c.difference.excludes_zero())
        for c, p in zip(found, adjusted, strict=True)
    ]


def tied_methods(means: Mapping[str, float], comparisons: list[MethodComparison]) -> tuple[str, ...]:
    """The methods that cannot be told from the best one; an untested difference counts as none."""
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
    there = ~np.isnan(pairs)
    contents, styles = np.nonzero(there)
    first_only, second_only = int((a > b).sum()), int((b > a).sum())
    return MethodComparison(
        metric,
        *names,
        difference=estimate,
        pairs=int(there.sum()),
        images=images,
        p=sign_flip(pairs[there]),
        p_contents=sign_flip(pairs[there], contents.tolist()),
        p_styles=sign_flip(pairs[there], styles.tolist()),
        first_only=first_only,
        second_only=second_only,
        p_mcnemar=mcnemar(first_only, second_only),
    )


def _pair_means(values: FloatArray) -> FloatArray:
    """(contents, styles) means over the slots that are there; NaN where none is."""
    there = ~np.isnan(values)
    count = there.sum(2)
    sums = np.where(there, values, 0.0).sum(2)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
