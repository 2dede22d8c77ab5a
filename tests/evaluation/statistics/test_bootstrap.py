"""Crossed intervals: exact means, and intervals with the right coverage."""

from __future__ import annotations

import numpy as np
import pytest

from lorarar.evaluation.statistics.intervals import (
    Estimate,
    crossed_interval,
    incomplete_crossed_interval,
    paired_interval,
)


def crossed(random: np.random.Generator, content: float, style: float, rest: float) -> np.ndarray:
    """Return scores (8, 8, 2) with true mean 0.5 and random effects of these standard deviations."""
    effects = random.normal(0, content, (8, 1, 1)) + random.normal(0, style, (1, 8, 1))
    return 0.5 + effects + random.normal(0, rest, (8, 8, 2))


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def test_the_mean_is_exact_and_the_interval_is_deterministic() -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    estimate = crossed_interval(values)
    assert estimate.mean == 11.5
    assert estimate.low < 11.5 < estimate.high
    assert crossed_interval(values) == estimate
    assert crossed_interval(values, seed=1) != estimate


def test_a_resample_draws_whole_contents_and_whole_styles() -> None:
    contents = np.array([0.0, 1.0]).reshape(2, 1, 1) + np.zeros((2, 5, 4))
    estimate = crossed_interval(contents)
    assert (estimate.low, estimate.high) == pytest.approx((0.0, 1.0))  # one in four resamples holds one content alone
    styles = np.array([0.0, 1.0]).reshape(1, 2, 1) + np.zeros((5, 2, 4))
    assert tuple(vars(crossed_interval(styles)).values()) == pytest.approx(tuple(vars(estimate).values()))


def test_the_interval_covers_the_truth_where_an_iid_bootstrap_does_not() -> None:
    random = np.random.default_rng(0)
    covered, naive = 0, 0
    for repeat in range(200):
        values = crossed(random, 0.2, 0.1, 0.1)
        estimate = crossed_interval(values, resamples=300, seed=repeat)
        means = random.choice(values.ravel(), (300, values.size)).mean(1)
        low, high = np.quantile(means, [0.025, 0.975])
        covered += estimate.low <= 0.5 <= estimate.high
        naive += low <= 0.5 <= high
        assert width(estimate) > 1.5 * (high - low)
    assert 0.85 <= covered / 200 <= 1.0
    assert naive / 200 < 0.6


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


def test_missing_values_are_left_out_of_every_resample() -> None:
    random = np.random.default_rng(0)
    values = crossed(random, 0.3, 0.2, 0.1)
    complete = incomplete_crossed_interval(values)
    assert (complete.low, complete.high) == pytest.approx(tuple(vars(crossed_interval(values)).values())[1:])
    values[random.random(values.shape) < 0.3] = np.nan
    values[2, 3] = np.nan  # a pair without any
    estimate = incomplete_crossed_interval(values)
    assert estimate.mean == pytest.approx(np.nanmean(values))
    means = []
    for _ in range(2000):
        c, s, t = (random.integers(0, n, n) for n in values.shape)
        means.append(np.nanmean(values[np.ix_(c, s, t)]))
    low, high = np.quantile(means, [0.025, 0.975])
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.015)


def test_seeds_that_are_not_drawn_add_no_width() -> None:
    values = np.zeros((3, 4, 2))
    values[..., 1] = 1.0
    fixed, resampled = incomplete_crossed_interval(values, draw_seeds=False), incomplete_crossed_interval(values)
    assert (fixed.mean, fixed.low, fixed.high) == pytest.approx((0.5, 0.5, 0.5))
    assert (resampled.mean, resampled.low, resampled.high) == pytest.approx((0.5, 0.0, 1.0))
    random = np.random.default_rng(0)
    pairs = random.normal(0, 1, (6, 8, 1))
    estimate = incomplete_crossed_interval(pairs + np.zeros((6, 8, 3)), draw_seeds=False)
    means = [pairs[random.integers(0, 6, 6)][:, random.integers(0, 8, 8)].mean() for _ in range(4000)]
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.05)


def test_a_resample_without_any_value_is_left_out() -> None:
    values = np.full((2, 2, 1), np.nan)
    values[0, 0], values[1, 1] = 1.0, 3.0
    estimate = incomplete_crossed_interval(values)
    assert (estimate.mean, estimate.low, estimate.high) == (2.0, 1.0, 3.0)


def test_errors() -> None:
    for wrong in (np.zeros((2, 3)), np.zeros((0, 2, 2)), np.full((2, 2, 2), np.nan)):
        with pytest.raises(ValueError, match=r"finite \(contents, styles, seeds\) values, found shape"):
            crossed_interval(wrong)
    with pytest.raises(ValueError, match=r"found shapes \(2, 2, 2\) and \(2, 2, 1\)"):
        paired_interval(np.zeros((2, 2, 2)), np.zeros((2, 2, 1)))
    for wrong in (np.zeros((2, 3)), np.full((2, 2, 2), np.nan), np.full((2, 2, 2), np.inf)):
        with pytest.raises(ValueError, match="not all missing, found shape"):
            incomplete_crossed_interval(wrong)
