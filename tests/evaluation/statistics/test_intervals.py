"""Crossed intervals: textbook values for one factor, the sum over several, and the right coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lorarar.evaluation.statistics.intervals import (
    Estimate,
    crossed_interval,
    incomplete_crossed_interval,
    paired_interval,
    student_quantile,
)
from lorarar.evaluation.statistics.proportions import Rate, wilson


def crossed(random: np.random.Generator, content: float, style: float, rest: float, seed: float = 0.0) -> np.ndarray:
    """Return scores (8, 8, 4) with true mean 0.5 and random effects of these standard deviations."""
    effects = random.normal(0, content, (8, 1, 1)) + random.normal(0, style, (1, 8, 1))
    return 0.5 + effects + random.normal(0, seed, (1, 1, 4)) + random.normal(0, rest, (8, 8, 4))


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def as_tuple(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.mean, estimate.low, estimate.high


def test_quantiles_of_a_table_of_students_t() -> None:
    table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 7: 2.3646, 30: 2.0423, 120: 1.9799}
    assert [student_quantile(freedom) for freedom in table] == pytest.approx(list(table.values()), abs=1e-4)
    assert student_quantile(1e9) == pytest.approx(1.960, abs=0.003)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_factor_gives_the_textbook_t_interval(axis: int) -> None:
    shape = [1, 1, 1]
    shape[axis] = 4
    estimate = crossed_interval(np.array([1.0, 2.0, 3.0, 4.0]).reshape(shape))
    half = 3.18245 * math.sqrt(5 / 3) / 2
    assert as_tuple(estimate) == pytest.approx((2.5, 2.5 - half, 2.5 + half), abs=1e-4)


def test_variances_of_the_factors_add_up() -> None:
    values = crossed(np.random.default_rng(0), 0.2, 0.1, 0.05, 0.1)
    means = [values.mean(others) for others in ((1, 2), (0, 2), (0, 1))]
    errors = [mean.var(ddof=1) / len(mean) for mean in means]
    freedom = sum(errors) ** 2 / sum(e**2 / (len(m) - 1) for e, m in zip(errors, means, strict=True))
    estimate = crossed_interval(values)
    assert estimate.mean == pytest.approx(values.mean())
    quantile, error = student_quantile(freedom), math.sqrt(sum(errors))
    skewness = sum(float(((m - m.mean()) ** 3).sum()) / len(m) ** 3 for m in means) / error**3
    for bound, expected in ((estimate.low, quantile), (estimate.high, -quantile)):
        t = (estimate.mean - bound) / error  # Hall's cubic transformation takes it to Student's quantile
        cubic = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6
        assert cubic == pytest.approx(expected)
    assert as_tuple(crossed_interval(values.swapaxes(0, 1))) == pytest.approx(as_tuple(estimate))


def test_seeds_that_act_alike_on_all_pairs_count() -> None:
    random = np.random.default_rng(0)
    covered, without, naive = 0, 0, 0
    for _ in range(300):
        values = crossed(random, 0.05, 0.05, 0.1, seed=0.2)
        estimate = crossed_interval(values)
        covered += estimate.low <= 0.5 <= estimate.high
        averaged = crossed_interval(values.mean(2, keepdims=True))
        without += averaged.low <= 0.5 <= averaged.high
        naive += abs(values.mean() - 0.5) <= 1.96 * values.std() / 16
    assert 0.92 <= covered / 300 <= 0.99
    assert without / 300 < 0.75
    assert naive / 300 < 0.5


def test_shares_stay_within_0_to_1_and_cover_near_the_ceiling() -> None:
    random = np.random.default_rng(0)
    grid = np.linspace(-6, 6, 2001)
    density = np.exp(-(grid**2) / 2)
    truth = float((1 / (1 + np.exp(-4 - 1.8 * grid))) @ density / density.sum())
    assert 0.92 < truth < 0.95
    covered, plain = 0, 0
    for _ in range(300):
        logits = 4 + random.normal(0, 1.7, (1, 8, 1)) + random.normal(0, 0.6, (8, 1, 1))
        values = (random.random((8, 8, 4)) < 1 / (1 + np.exp(-logits))).astype(float)
        estimate, symmetric = crossed_interval(values, shares=True), crossed_interval(values)
        assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1
        covered += estimate.low <= truth <= estimate.high
        plain += symmetric.low <= truth <= symmetric.high
    assert covered / 300 > 0.91
    assert plain < covered - 15


def test_the_interval_of_a_share_is_symmetric_on_the_logit_scale() -> None:
    values = np.repeat([0.5, 0.75, 1.0, 1.0], 6).reshape(4, 3, 2)
    estimate, mirrored = crossed_interval(values, shares=True), crossed_interval(1 - values, shares=True)
    middle, low, high = (math.log(p / (1 - p)) for p in as_tuple(estimate))
    assert high - middle == pytest.approx(middle - low)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - estimate.high, 1 - estimate.low))
    error = values[:, 0, 0].std(ddof=1) / 2  # contents are the only source of variation
    assert high - middle == pytest.approx(student_quantile(3) * error / (estimate.mean * (1 - estimate.mean)))


def test_the_interval_of_skewed_differences_is_longer_on_the_side_of_the_tail() -> None:
    values = np.array([0.0, 0.0, 0.1, 0.0, 0.6, 0.1, 0.0, 0.2]).reshape(8, 1, 1)
    estimate, mirrored = crossed_interval(values), crossed_interval(-values)
    assert estimate.high - estimate.mean > 1.3 * (estimate.mean - estimate.low)
    assert (mirrored.low, mirrored.high) == pytest.approx((-estimate.high, -estimate.low))


def test_scores_that_are_all_right_have_wilsons_interval_of_the_pairs() -> None:
    assert as_tuple(crossed_interval(np.ones((5, 6, 4)), shares=True)) == pytest.approx(as_tuple(wilson(Rate(30, 30))))
    assert as_tuple(crossed_interval(np.zeros((5, 6, 4)), shares=True)) == pytest.approx(as_tuple(wilson(Rate(0, 30))))
    values = np.ones((5, 6, 4))
    values[0, 0] = np.nan
    estimate = incomplete_crossed_interval(values, shares=True)
    assert as_tuple(estimate) == pytest.approx(as_tuple(wilson(Rate(29, 29))))
    assert crossed_interval(np.full((5, 6, 4), 0.5), shares=True) == Estimate(0.5, 0.5, 0.5)


def test_paired_differences() -> None:
    random = np.random.default_rng(0)
    a = crossed(random, 0.2, 0.2, 0.01)
    b = a - 0.05 + random.normal(0, 0.01, a.shape)
    estimate = paired_interval(a, b)
    assert estimate.mean == pytest.approx((a - b).mean())
    assert estimate.excludes_zero()
    assert paired_interval(b, a).excludes_zero()
    assert width(estimate) < width(crossed_interval(a)) / 10  # shared effects cancel
    assert paired_interval(a, a) == Estimate(0.0, 0.0, 0.0)
    assert not paired_interval(a, a).excludes_zero()


def test_missing_values_are_left_out() -> None:
    random = np.random.default_rng(0)
    values = crossed(random, 0.3, 0.2, 0.1, 0.1)
    assert incomplete_crossed_interval(values) == crossed_interval(values)
    rows = values.copy()
    rows[3] = np.nan  # a content without any value is no level
    expected = crossed_interval(np.delete(values, 3, axis=0))
    assert as_tuple(incomplete_crossed_interval(rows)) == pytest.approx(as_tuple(expected))
    values[random.random(values.shape) < 0.1] = np.nan
    estimate, complete = incomplete_crossed_interval(values), crossed_interval(np.nan_to_num(values, nan=0.5))
    assert estimate.mean == pytest.approx(np.nanmean(values))
    assert width(estimate) == pytest.approx(width(complete), rel=0.15)


def test_missing_values_keep_the_coverage() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        values = crossed(random, 0.2, 0.1, 0.1, 0.1)
        values[random.random(values.shape) < 0.4] = np.nan
        estimate = incomplete_crossed_interval(values)
        covered += estimate.low <= 0.5 <= estimate.high
    assert 0.92 <= covered / 300 <= 0.99


def test_a_single_value_has_no_interval() -> None:
    estimate = incomplete_crossed_interval(np.array([[[np.nan, 2.0]]]))
    assert estimate.mean == 2.0
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert not estimate.excludes_zero()


def test_errors() -> None:
    for wrong in (np.zeros((2, 3)), np.zeros((0, 2, 2)), np.full((2, 2, 2), np.nan)):
        with pytest.raises(ValueError, match=r"finite \(contents, styles, seeds\) values, found shape"):
            crossed_interval(wrong)
    with pytest.raises(ValueError, match=r"found shapes \(2, 2, 2\) and \(2, 2, 1\)"):
        paired_interval(np.zeros((2, 2, 2)), np.zeros((2, 2, 1)))
    for wrong in (np.zeros((2, 3)), np.full((2, 2, 2), np.nan), np.full((2, 2, 2), np.inf)):
        with pytest.raises(ValueError, match="not all missing, found shape"):
            incomplete_crossed_interval(wrong)
    with pytest.raises(ValueError, match=r"shares within 0 to 1, found values of -0.5 to 1: use `shares=False`"):
        crossed_interval(np.array([[[-0.5, 1.0]]]), shares=True)
