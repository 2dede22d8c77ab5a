"""Spearman's correlation: its axioms, torchmetrics as an independent reference, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torchmetrics.functional import spearman_corrcoef

from lorarar.evaluation.statistics.correlation import crossed_spearman, spearman


def test_it_equals_torchmetrics() -> None:
    random = np.random.default_rng(0)
    for levels in (3, 1000):  # with many ties and with few
        a = random.integers(levels, size=50)
        b = a * random.normal(1, 2, 50)
        expected = float(spearman_corrcoef(torch.tensor(a, dtype=torch.float64), torch.tensor(b)))
        assert_allclose(spearman(a, b), expected, atol=1e-5)


def test_only_the_order_counts() -> None:
    a = np.random.default_rng(0).normal(size=20)
    assert spearman(a, np.exp(a)) == pytest.approx(1)
    assert spearman(a, -(a**3)) == pytest.approx(-1)
    assert math.isnan(spearman(a, np.ones(20)))


def test_the_interval_is_wider_where_contents_differ() -> None:
    """Scores that agree on whole contents hold few independent observations, however many images there are."""
    random = np.random.default_rng(0)
    shared = random.normal(size=(8, 1, 1)) + np.zeros((8, 6, 10))
    a, b = (shared + random.normal(size=shared.shape) for _ in range(2))
    estimate = crossed_spearman(a, b, resamples=300)
    assert estimate.mean == spearman(a.ravel(), b.ravel())
    assert estimate.low < estimate.mean < estimate.high
    independent = random.normal(size=(8, 6, 10)), random.normal(size=(8, 6, 10))
    none = crossed_spearman(*independent, resamples=300)
    assert none.low < 0 < none.high
    assert estimate.high - estimate.low > 1.5 * (none.high - none.low)
    assert crossed_spearman(a, b, resamples=300) == estimate


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((2, 2, 1)), np.zeros((2, 2, 2))),
        (np.zeros((2, 2)), np.zeros((2, 2))),
        (np.full((2, 2, 1), np.nan), np.zeros((2, 2, 1))),
        (np.zeros((0, 2, 1)), np.zeros((0, 2, 1))),
    ],
)
def test_values_that_are_not_crossed_are_refused(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(ValueError, match="of one shape"):
        crossed_spearman(a, b)


def test_a_constant_score_has_no_correlation() -> None:
    estimate = crossed_spearman(np.ones((2, 2, 1)), np.arange(4.0).reshape(2, 2, 1), resamples=5)
    assert all(map(math.isnan, (estimate.mean, estimate.low, estimate.high)))
