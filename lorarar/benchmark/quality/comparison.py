"""Paired comparisons of rows: differences with intervals, sign-flip tests, and equivalence within a margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics import Estimate, equivalence_test, holm, paired_interval, sign_flip

_SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class RowComparison:
    """A paired comparison: the first row minus the second, with a 95 % interval.

    Attributes:
        p_holm: P value of a sign-flip test, after Holm's correction.
        p_error: Standard error of the p value before the correction, where sign patterns were drawn; 0 where it is
            exact.
        differs: Whether `p_holm` is below 0.05 and the interval excludes 0.
        equivalent: Whether two one-sided tests at 5 % show a difference below the margin of the configuration; None
            without a margin.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    p_holm: float
    differs: bool
    p_error: float = 0.0
    equivalent: bool | None = None


Comparisons = Mapping[str, Sequence[RowComparison]]  # metric -> comparisons


def compare_rows(
    values: Mapping[str, NDArray[np.float64]], pairs: Sequence[Sequence[str]], margin: float | None = None
) -> list[RowComparison]:
    """Compare rows in pairs, with Holm's correction over all of them.

    Args:
        values: Scores (contents, styles, noise seeds) of each row on one metric.
        pairs: Names of the first and the second row of each comparison.
        margin: The largest difference that counts as none; None tests no equivalence.
    """
    estimates = [paired_interval(values[first], values[second]) for first, second in pairs]
    tests = [sign_flip((values[first] - values[second]).mean(2).reshape(-1)) for first, second in pairs]
    adjusted = holm([test.p for test in tests])
    comparisons = []
    for (first, second), estimate, test, p_holm in zip(pairs, estimates, tests, adjusted, strict=True):
        comparisons.append(
            RowComparison(
                first,
                second,
                **asdict(rounded(estimate)),
                p_holm=round(p_holm, 6),
                differs=p_holm < _SIGNIFICANCE and estimate.excludes_zero(),
                p_error=round(test.error, 6),
                equivalent=equivalence_test(values[first], values[second], margin).shown if margin else None,
            )
        )
    return comparisons


def rounded(estimate: Estimate) -> Estimate:
    """Return an estimate as results hold it, with six decimals."""
    return Estimate(**{key: round(value, 6) for key, value in asdict(estimate).items()})
