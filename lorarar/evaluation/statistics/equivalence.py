"""Equivalence: whether two methods differ by less than a margin that was fixed before their scores were seen.

An interval that includes 0 shows no difference; it does not show that there is none. Equivalence is shown by two
one-sided tests at 5 %, each against a difference of the margin or more in its direction. Both reject where the 90 %
interval of the difference lies within -margin to margin.

Reference: D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the
equivalence of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15 (1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.intervals import paired_interval

_COVERAGE = 0.90  # two one-sided tests at 5 %


@dataclass(frozen=True)
class Equivalence:
    """Result of two one-sided tests.

    Attributes:
        mean: Mean difference, the first method minus the second.
        low, high: Its 90 % interval over contents, styles and seeds.
        margin: The largest difference that counts as none.
    """

    mean: float
    low: float
    high: float
    margin: float

    @property
    def shown(self) -> bool:
        """Whether equivalence within the margin is shown; never where the interval is unknown (NaN)."""
        return -self.margin < self.low and self.high < self.margin


def equivalence_test(a: NDArray[np.floating], b: NDArray[np.floating], margin: float) -> Equivalence:
    """Test by two one-sided tests whether two methods differ by less than a margin.

    Args:
        a: Scores (contents, styles, seeds) of the first method.
        b: Scores of the second method at the same pairs and seeds.
        margin: The largest difference that counts as none, in units of the scores. It has to be fixed before the scores
            are seen: one that is chosen afterwards shows nothing.

    Raises:
        ValueError: The margin is not positive, or see `paired_interval`.
    """
    if not margin > 0:
        raise ValueError(f"expected a positive margin, such as 0.03, found {margin}")
    estimate = paired_interval(a, b, coverage=_COVERAGE)
    return Equivalence(estimate.mean, estimate.low, estimate.high, margin)
