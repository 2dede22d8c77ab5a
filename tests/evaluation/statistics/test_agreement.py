"""Agreement against published examples, brute force and numerical derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lorarar.evaluation.statistics.agreement import auc, cohen_kappa, krippendorff_alpha, raw_agreement
from lorarar.evaluation.statistics.proportions import Rate


def labels(table: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the labels of two raters with this table of counts."""
    pairs = [(i, j) for (i, j), count in np.ndenumerate(table) for _ in range(int(count))]
    return [a for a, _ in pairs], [b for _, b in pairs]


def kappa_of(p: np.ndarray) -> float:
    chance = float(p.sum(1) @ p.sum(0))
    return float((np.trace(p) - chance) / (1 - chance))


@pytest.mark.parametrize("seed", range(3))
def test_auc_counts_pairs(seed: int) -> None:
    random = np.random.default_rng(seed)
    positive, negative = random.integers(2, 8, 30) / 8, random.integers(0, 6, 20) / 8  # many ties
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert auc(list(positive), list(negative)) == pytest.approx(np.mean(pairs))


def test_auc_of_extremes() -> None:
    assert auc([1.0], [0.0]) == 1.0
    assert auc([0.0], [1.0]) == 0.0
    assert auc([0.5, 0.5], [0.5]) == 0.5
    assert math.isnan(auc([], [0.5]))
    assert math.isnan(auc([0.5], []))


def test_raw_agreement() -> None:
    assert raw_agreement([1, 0, 1], [1, 1, 1]) == Rate(2, 3)


def test_kappa_by_hand() -> None:
    kappa = cohen_kappa(*labels(np.array([[20, 5], [10, 15]])))  # agreed 0.7, by chance 0.5
    assert kappa.mean == pytest.approx(0.4)


@pytest.mark.parametrize("table", [[[20, 5], [10, 15]], [[45, 15], [25, 15]], [[9, 1, 2], [3, 7, 1], [0, 2, 8]]])
def test_the_interval_of_kappa_is_that_of_the_delta_method(table: list[list[int]]) -> None:
    counts = np.array(table, float)
    p, n, step = counts / counts.sum(), counts.sum(), 1e-6
    slope = np.zeros_like(p)
    for cell in np.ndindex(p.shape):
        up, down = p.copy(), p.copy()
        up[cell] += step
        down[cell] -= step
        # p must sum to 1, so each side is scaled.
        slope[cell] = (kappa_of(up / up.sum()) - kappa_of(down / down.sum())) / (2 * step)
    variance = ((p * slope**2).sum() - (p * slope).sum() ** 2) / n
    kappa = cohen_kappa(*labels(counts))
    assert kappa.mean == pytest.approx(kappa_of(p))
    assert (kappa.high - kappa.low) / 2 == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-4)


def test_kappa_is_undefined_without_variety() -> None:
    assert math.isnan(cohen_kappa([1, 1], [1, 1]).mean)
    assert math.isnan(cohen_kappa([], []).mean)
    assert cohen_kappa([1, 0], [1, 0]).mean == 1.0


def test_krippendorffs_published_example() -> None:
    raters = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    columns = zip(*(row.split() for row in raters), strict=True)
    units = [[None if label == "." else label for label in column] for column in columns]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_krippendorffs_binary_example() -> None:
    a, b = "0100000000", "1110010010"
    assert krippendorff_alpha(list(zip(a, b, strict=True))) == pytest.approx(0.095, abs=5e-4)


def test_alpha_of_extremes() -> None:
    assert krippendorff_alpha([[1, 1, None], [0, 0, 0]]) == 1.0
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]]))
    assert math.isnan(krippendorff_alpha([[1, None], [None, 0]]))
    random = np.random.default_rng(0)
    assert abs(krippendorff_alpha(random.integers(0, 2, (5000, 3)).tolist())) < 0.03
