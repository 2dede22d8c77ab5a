"""Proportions against root finding, enumeration and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from lorarar.evaluation.statistics.intervals import Estimate, crossed_interval
from lorarar.evaluation.statistics.proportions import (
    Rate,
    best_of_k,
    correct_shares,
    rogan_gladen,
    rogan_gladen_joint,
    wilson,
)

Z = 1.959963984540054


def root(p: float, n: int, low: float, high: float) -> float:
    """Solve |p - x| = Z sqrt(x (1 - x) / n) between low and high by bisection; p is one of the ends."""
    inside = low if low == p else high
    outside = high if low == p else low
    for _ in range(200):
        middle = (inside + outside) / 2
        near = abs(p - middle) <= Z * math.sqrt(middle * (1 - middle) / n)
        inside, outside = (middle, outside) if near else (inside, middle)
    return inside


@pytest.mark.parametrize(("successes", "total"), [(8, 10), (1, 3), (0, 7), (7, 7), (199, 200)])
def test_wilson_solves_the_score_equation(successes: int, total: int) -> None:
    p = successes / total
    estimate = wilson(Rate(successes, total))
    assert estimate.mean == p
    assert estimate.low == pytest.approx(root(p, total, 0.0, p), abs=1e-9)
    assert estimate.high == pytest.approx(root(p, total, p, 1.0), abs=1e-9)


def test_a_published_wilson_interval() -> None:
    estimate = wilson(Rate(81, 263))  # R. G. Newcombe (1998), table I
    assert (estimate.low, estimate.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_no_trials_give_no_estimate() -> None:
    estimate = wilson(Rate(0, 0))
    assert math.isnan(estimate.mean)
    assert (estimate.low, estimate.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="found 3 of 2"):
        Rate(3, 2)


def test_the_correction_of_hand_worked_numbers() -> None:
    # 64 of 100 are right; 0.9 of those and 0.1 of the others are called right: 0.9 * 0.64 + 0.1 * 0.36 = 0.612
    estimate = rogan_gladen(Estimate(0.612, 0.55, 0.67), Rate(90, 100), Rate(90, 100))
    assert estimate.mean == pytest.approx(0.64)
    assert estimate.low < 0.64 < estimate.high
    assert rogan_gladen(Estimate(0.05, 0.0, 0.1), Rate(90, 100), Rate(90, 100)).mean == 0.0
    with pytest.raises(
        ValueError, match=r"above 1, found 0\.500 \+ 0\.500: the answers of this judge hold no information"
    ):
        rogan_gladen(Estimate(0.5, 0.4, 0.6), Rate(5, 10), Rate(5, 10))


@pytest.mark.parametrize(("sensitivity", "specificity"), [((18, 20), (27, 30)), ((20, 20), (30, 30))])
def test_the_width_of_the_corrected_interval_is_that_of_the_delta_method(
    sensitivity: tuple[int, int], specificity: tuple[int, int]
) -> None:
    apparent = Estimate(0.4, 0.3, 0.5)
    at = [apparent.mean, sensitivity[0] / sensitivity[1], specificity[0] / specificity[1]]
    variances = [(0.2 / (2 * Z)) ** 2]
    for successes, total in (sensitivity, specificity):
        p = (successes + 1) / (total + 2)
        variances.append(p * (1 - p) / (total + 2))
    slopes = []
    for i in range(3):
        ends = [[x + step * (i == j) for j, x in enumerate(at)] for step in (1e-6, -1e-6)]
        values = [(p + sp - 1) / (se + sp - 1) for p, se, sp in ends]
        slopes.append((values[0] - values[1]) / 2e-6)
    estimate = rogan_gladen(apparent, Rate(*sensitivity), Rate(*specificity))
    half = Z * math.sqrt(sum(v * slope**2 for v, slope in zip(variances, slopes, strict=True)))
    assert (estimate.low, estimate.high) == pytest.approx((estimate.mean - half, estimate.mean + half))


def test_the_corrected_interval_covers_the_truth() -> None:
    random = np.random.default_rng(0)
    covered, truth, images, cases = 0, 0.6, 200, 60
    for _ in range(1000):
        sensitivity = Rate(int(random.binomial(cases, 0.85)), cases)
        specificity = Rate(int(random.binomial(cases, 0.9)), cases)
        yes = random.binomial(images, truth * 0.85 + (1 - truth) * 0.1) / images
        half = Z * math.sqrt(yes * (1 - yes) / images)
        estimate = rogan_gladen(Estimate(yes, yes - half, yes + half), sensitivity, specificity)
        covered += estimate.low <= truth <= estimate.high
    assert 0.93 <= covered / 1000 <= 0.98


def test_the_joint_correction_recovers_images_right_on_both_axes() -> None:
    random = np.random.default_rng(1)
    covered, means = 0, []
    for _ in range(150):
        content = random.random(400) < 0.8
        style = np.where(content, random.random(400) < 0.6, random.random(400) < 0.9)  # the axes are not independent
        rates, shares = [], []
        for truth, se, sp in ((content, 0.9, 0.85), (style, 0.85, 0.95)):
            yes = np.where(truth, random.random(400) < se, random.random(400) < 1 - sp).astype(float)
            rate = (Rate(int(random.binomial(100, se)), 100), Rate(int(random.binomial(100, sp)), 100))
            rates.append(rate)
            shares.append(correct_shares(yes, rate[0].value, rate[1].value))
        product = (shares[0] * shares[1]).reshape(-1, 1, 1)
        joint = crossed_interval(product)
        estimate = rogan_gladen_joint(
            joint,
            shares[0].mean(),
            shares[1].mean(),
            (rates[0][0], rates[1][0]),
            (rates[0][1], rates[1][1]),
        )
        means.append(estimate.mean)
        covered += estimate.low <= 0.8 * 0.6 <= estimate.high
    assert np.mean(means) == pytest.approx(0.48, abs=0.02)
    assert 0.9 <= covered / 150 <= 1.0


@pytest.mark.parametrize(("correct", "total", "k"), [(0, 5, 2), (2, 6, 1), (2, 6, 3), (5, 6, 2), (6, 6, 6), (1, 6, 6)])
def test_best_of_k_by_enumeration(correct: int, total: int, k: int) -> None:
    draws = list(itertools.combinations([True] * correct + [False] * (total - correct), k))
    assert best_of_k(correct, total, k) == pytest.approx(np.mean([any(draw) for draw in draws]))


@pytest.mark.parametrize(("correct", "total", "k"), [(0, 5, 0), (0, 5, 6), (6, 5, 2)])
def test_best_of_k_refuses(correct: int, total: int, k: int) -> None:
    with pytest.raises(ValueError, match="expected 1 <= k <= total"):
        best_of_k(correct, total, k)
