"""Bradley-Terry strengths against their defining equations and direct maximisation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lorarar.evaluation.statistics.bradley_terry import bradley_terry_intervals, fit_bradley_terry

WINS = np.array([[0, 7, 4.5, 9], [3, 0, 6, 2.5], [5.5, 4, 0, 8], [1, 2.5, 2, 0]])


def likelihood(logs: np.ndarray, wins: np.ndarray) -> float:
    return float(-(wins * np.log1p(np.exp(logs[None, :] - logs[:, None]))).sum())


def test_two_methods_by_hand() -> None:
    strengths = fit_bradley_terry(np.array([[0, 6], [2.0, 0]]))
    assert strengths[0] - strengths[1] == pytest.approx(math.log(3))
    assert strengths.sum() == pytest.approx(0)


def test_expected_wins_equal_wins() -> None:
    strengths = fit_bradley_terry(WINS)
    chance = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    assert ((WINS + WINS.T) * chance).sum(1) == pytest.approx(WINS.sum(1))


def test_no_other_strengths_are_more_likely() -> None:
    strengths = fit_bradley_terry(WINS)
    random = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0):
        assert all(
            likelihood(strengths + random.normal(0, size, 4), WINS) < likelihood(strengths, WINS) for _ in range(50)
        )


def test_problems_are_solved_side_by_side() -> None:
    stacked = fit_bradley_terry(np.stack([WINS, np.triu(WINS), WINS.T]))
    assert stacked[0] == pytest.approx(fit_bradley_terry(WINS))
    assert stacked[2] == pytest.approx(-fit_bradley_terry(WINS))
    assert np.isnan(stacked[1]).all()  # the first method never loses


def crossed_wins(random: np.random.Generator, truth: np.ndarray, size: int) -> np.ndarray:
    wins = np.zeros((size, size, len(truth), len(truth)))
    for i in range(len(truth)):
        for j in range(i):
            won = random.binomial(4, 1 / (1 + np.exp(truth[j] - truth[i])), (size, size))
            wins[:, :, i, j], wins[:, :, j, i] = won, 4 - won
    return wins


def test_intervals_cover_the_truth() -> None:
    random = np.random.default_rng(0)
    truth = np.array([0.6, 0.0, -0.6])
    covered = []
    for repeat in range(60):
        strengths = bradley_terry_intervals(crossed_wins(random, truth, 5), "abc", resamples=200, seed=repeat)
        covered += [e.low <= t <= e.high for e, t in zip(strengths.estimates, truth, strict=True)]
        assert strengths.resamples == 200
    assert 0.85 <= np.mean(covered) <= 1.0


def test_too_many_unsolvable_resamples_leave_no_interval() -> None:
    wins = np.zeros((2, 2, 2, 2))
    wins[..., 0, 1] = 1
    wins[0, 0, 1, 0] = 1
    strengths = bradley_terry_intervals(wins, ["a", "b"], resamples=200)
    assert strengths.estimates[0].mean == pytest.approx(math.log(4) / 2)
    assert math.isnan(strengths.estimates[0].low)
    assert strengths.resamples < 190


def test_a_disconnected_comparison_is_refused() -> None:
    apart = np.zeros((1, 1, 4, 4))
    apart[..., 0, 1] = apart[..., 1, 0] = apart[..., 2, 3] = apart[..., 3, 2] = 1
    with pytest.raises(ValueError, match="found none of p, q over any of r, s: no finite strengths exist"):
        bradley_terry_intervals(apart, list("pqrs"))
    with pytest.raises(ValueError, match="found none of s over any of p, q, r"):
        bradley_terry_intervals(np.triu(np.ones((1, 1, 4, 4)), 1), list("pqrs"))
