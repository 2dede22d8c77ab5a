"""Measures: their properties, and the same numbers as independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional import pairwise_cosine_similarity

from lorarar.evaluation.metrics.measures import (
    centroid_distance,
    cosine_fidelity,
    gram,
    harmonic_mean,
    mean,
    normalise,
    rank_normalise,
    vendi,
)

# vendi-score 0.0.3 uses a name that scipy 2 will remove
scipy_name = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")


def rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, (n, d))


def variance(x: np.ndarray) -> float:
    """Return Var(X^), the mean squared distance of the normalised rows from their mean."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return float(((unit - unit.mean(0)) ** 2).sum(1).mean())


def test_cosine_fidelity_is_the_mean_of_torchmetrics_cosines() -> None:
    x, y = rows(7, 5), rows(4, 5, 1)
    expected = pairwise_cosine_similarity(torch.from_numpy(x), torch.from_numpy(y)).mean().item()
    assert cosine_fidelity(x, y) == pytest.approx(expected, abs=1e-12)


def test_centroid_distance_is_the_distance_of_the_means() -> None:
    x, y = rows(7, 5), rows(4, 5, 1)
    means = [np.mean([row / math.sqrt(sum(row**2)) for row in z], axis=0) for z in (x, y)]
    assert centroid_distance(x, y) == pytest.approx(sum((means[0] - means[1]) ** 2), abs=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 3), (7, 4, 5), (40, 3, 2)])
def test_cosine_and_distance_satisfy_their_identity(n: int, m: int, d: int) -> None:
    x, y = rows(n, d), 3 * rows(m, d, 1)
    expected = 2 - 2 * cosine_fidelity(x, y) - variance(x) - variance(y)
    assert centroid_distance(x, y) == pytest.approx(expected, abs=1e-12)


def test_equal_sets_have_no_distance_but_no_cosine_of_one() -> None:
    x = rows(6, 4)
    assert centroid_distance(x, x[::-1]) == pytest.approx(0, abs=1e-15)
    assert cosine_fidelity(x, x) < 0.9
    assert cosine_fidelity(x[:1], 5 * x[:1]) == pytest.approx(1)


def test_lengths_do_not_count() -> None:
    x = rows(6, 4)
    lengths = np.geomspace(1e-200, 1e200, 6)[:, None]
    assert np.allclose(normalise(x * lengths), normalise(x), atol=1e-14)
    assert np.allclose(np.linalg.norm(normalise(x), axis=1), 1)


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.ones(3), [[1.0, math.nan]], [[math.inf, 1.0]]])
def test_invalid_features_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected finite features"):
        normalise(bad)


def test_a_row_of_zeros_has_no_direction() -> None:
    with pytest.raises(ValueError, match="row of zeros"):
        normalise([[1.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("n", [1, 2, 9])
def test_vendi_of_equal_and_of_orthogonal_vectors(n: int) -> None:
    assert vendi(np.tile(rows(1, 12), (n, 1))) == pytest.approx(1)
    assert vendi(np.eye(12)[:n] * 3) == pytest.approx(n)


def test_vendi_is_unchanged_by_repeating_the_set() -> None:
    x = rows(5, 8)
    assert vendi(np.tile(x, (3, 1))) == pytest.approx(vendi(x))
    assert vendi(x) < vendi(np.vstack([x, np.eye(8)[:1] * 5 - x.mean(0)]))


@scipy_name
@pytest.mark.parametrize(("n", "d"), [(5, 12), (12, 5), (30, 30)])
def test_vendi_equals_the_authors_implementation(n: int, d: int) -> None:
    from vendi_score import vendi as reference

    x = rows(n, d)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert vendi(x) == pytest.approx(reference.score_dual(unit), rel=1e-9)
    assert vendi(x) == pytest.approx(reference.score_K(unit @ unit.T), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(5, 12), (12, 5)])
def test_vendi_is_the_same_from_both_sides(n: int, d: int) -> None:
    unit = normalise(rows(n, d))
    for kernel in (unit @ unit.T / n, unit.T @ unit / n):
        values = np.linalg.eigvalsh(kernel)
        values = values[values > 1e-12]
        assert vendi(unit) == pytest.approx(math.exp(-sum(values * np.log(values))), rel=1e-9)


def test_gram_equals_a_plain_sum() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    expected = torch.einsum("nchw,ndhw->ncd", torch.from_numpy(maps), torch.from_numpy(maps)) / (3 * 4 * 5)
    assert np.allclose(gram(maps), expected.numpy(), atol=1e-14)
    assert gram(maps).shape == (2, 3, 3)
    with pytest.raises(ValueError, match="n, c, h, w"):
        gram(maps[0])


def test_gram_does_not_depend_on_positions() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    assert np.allclose(gram(np.roll(maps, 2, axis=3)), gram(maps), atol=1e-14)


def test_mean_leaves_missing_values_out() -> None:
    assert mean([1.0, math.nan, 4.0]) == 2.5
    assert math.isnan(mean([math.nan]))
    assert math.isnan(mean([]))


def test_harmonic_mean() -> None:
    means = harmonic_mean([0.5, 0.9, 0.0, -0.3, math.nan, 1.0], [0.5, 0.1, 0.9, 0.9, 0.5, 1.0])
    assert means[:4].tolist() == pytest.approx([0.5, 0.18, 0, 0])
    assert math.isnan(means[4])
    assert means[5] == 1


def test_ranks() -> None:
    assert rank_normalise([3.0, -1.0, 7.0, 5.0]).tolist() == pytest.approx([1 / 3, 0, 1, 2 / 3])
    assert rank_normalise([2.0, 2.0, 1.0]).tolist() == pytest.approx([0.75, 0.75, 0])  # ties share
    assert rank_normalise([4.0, 4.0]).tolist() == pytest.approx([0.5, 0.5])
    assert np.isnan(rank_normalise([4.0])).all()
    assert rank_normalise([]).shape == (0,)
    with pytest.raises(ValueError, match=r"\(n,\)"):
        rank_normalise([[1.0]])


def test_missing_values_have_no_rank_and_are_not_counted() -> None:
    normalised = rank_normalise([math.nan, 1.0, 2.0])
    assert math.isnan(normalised[0])
    assert normalised[1:].tolist() == [0, 1]
    assert np.isnan(rank_normalise([math.nan, 1.0])).all()


def test_ranks_are_invariant_under_increasing_functions() -> None:
    values = np.random.default_rng(0).integers(0, 6, 12).astype(float)  # with ties
    for change in (np.exp, lambda v: v**3 - 7, lambda v: 2 * v + 1):
        assert rank_normalise(change(values)).tolist() == rank_normalise(values).tolist()
    assert rank_normalise(-values) == pytest.approx(1 - rank_normalise(values))
