"""Two one-sided tests: the textbook interval, the error at the margin, the power at no difference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lorarar.evaluation.statistics.equivalence import equivalence_test
from lorarar.evaluation.statistics.intervals import paired_interval, student_quantile

MARGIN = 0.03


def test_one_factor_gives_the_textbook_interval_of_90_percent() -> None:
    difference = np.array([-0.02, -0.01, 0.0, 0.01, 0.02]).reshape(5, 1, 1)
    half = 2.13185 * math.sqrt(0.001 / 4 / 5)  # the 95 % quantile of Student's t with 4 degrees of freedom
    assert student_quantile(4, 0.9) == pytest.approx(2.13185, abs=1e-4)
    result = equivalence_test(0.5 + difference, np.full((5, 1, 1), 0.5), MARGIN)
    assert (result.mean, result.low, result.high) == pytest.approx((0, -half, half), abs=1e-6)
    assert result.shown
    assert not equivalence_test(difference, np.zeros((5, 1, 1)), half - 1e-4).shown
    assert equivalence_test(difference, np.zeros((5, 1, 1)), half + 1e-4).shown


def share_shown(true: float, runs: int = 400) -> float:
    """How often equivalence is shown for a true difference, with effects of contents, styles and images."""
    random = np.random.default_rng(0)
    shown = 0
    for _ in range(runs):
        effects = random.normal(0, 0.015, (8, 1, 1)) + random.normal(0, 0.015, (1, 8, 1))
        difference = true + effects + random.normal(0, 0.05, (8, 8, 4))
        shown += equivalence_test(difference, np.zeros((8, 8, 4)), MARGIN).shown
    return shown / runs


def test_a_difference_of_the_margin_is_called_equivalent_in_5_percent() -> None:
    assert 0.02 <= share_shown(MARGIN) <= 0.07
    assert 0.02 <= share_shown(-MARGIN) <= 0.07
    assert share_shown(0.0) > 0.75
    assert share_shown(2 * MARGIN) == 0


def test_no_difference_shown_is_not_equivalence() -> None:
    values = np.random.default_rng(0).normal(0, 0.3, (4, 4, 1))
    assert not paired_interval(values, np.zeros((4, 4, 1))).excludes_zero()
    assert not equivalence_test(values, np.zeros((4, 4, 1)), MARGIN).shown
    assert not equivalence_test(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), MARGIN).shown  # without an interval


@pytest.mark.parametrize("margin", [0.0, -0.1, math.nan])
def test_a_margin_is_positive(margin: float) -> None:
    with pytest.raises(ValueError, match=r"expected a positive margin, such as 0.03, found"):
        equivalence_test(np.zeros((2, 2, 1)), np.zeros((2, 2, 1)), margin)
