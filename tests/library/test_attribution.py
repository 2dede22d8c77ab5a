"""lorarar.library.attribution: weights and inputs of merges, and least squares against scipy's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from lorarar.library.attribution import attribute_lora, nonnegative_least_squares
from lorarar.lora import LoRA, LowRank, concat, truncate_lora
from tests.library.test_duplicates import each, lora

CANDIDATES = [replace(lora(i), name=str(i)) for i in range(8)]


def test_least_squares_is_scipys() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        matrix, target = random.standard_normal((12, 9)), random.standard_normal(12)
        found = nonnegative_least_squares(matrix.T @ matrix, matrix.T @ target)
        np.testing.assert_allclose(found, nnls(matrix, target)[0], atol=1e-8)


def test_the_weights_of_a_sum_are_found() -> None:
    weights = {1: 0.8, 4: 0.6, 6: 0.3}
    layers = {
        path: concat([replace(CANDIDATES[i].layers[path], scale=weight) for i, weight in weights.items()])  # type: ignore[type-var]
        for path in CANDIDATES[0].layers
    }
    found = attribute_lora(LoRA(layers, name="merged"), CANDIDATES)
    assert {share.name: pytest.approx(share.weight, abs=1e-3) for share in found.shares} == {
        str(i): weight for i, weight in weights.items()
    }
    assert found.residual == pytest.approx(0, abs=1e-4)
    assert all(share.low <= share.weight + 1e-6 and share.high >= share.weight - 1e-6 for share in found.shares)
    assert "merged = 0.80 1 + 0.60 4 + 0.30 6, residual 0.0%" in found.text()


def test_a_truncated_sum_has_the_weights_of_the_sum() -> None:
    merge = each(lambda a, b: concat([a, b]), CANDIDATES[2], CANDIDATES[3])
    found = attribute_lora(truncate_lora(merge, rank=5)[0], CANDIDATES)
    assert {share.name for share in found.shares} == {"2", "3"}
    assert found.is_sum
    for share in found.shares:
        assert share.weight == pytest.approx(1, abs=1e-4)
        assert share.low - 1e-5 <= 1 <= share.high + 1e-5


def test_weights_that_differ_by_layer_have_a_wide_interval() -> None:
    merge = LoRA(
        {
            path: concat([LowRank(f.B, f.A, 0.2 + 0.4 * i), CANDIDATES[3].layers[path]])  # type: ignore[list-item]
            for i, (path, f) in enumerate(CANDIDATES[2].layers.items())
        }
    )
    found = attribute_lora(merge, CANDIDATES)
    assert not found.is_sum
    assert "not a plain sum" in found.text()
    shares = {share.name: share for share in found.shares}
    assert set(shares) == {"2", "3"}
    assert shares["2"].high - shares["2"].low > 0.3 > 20 * (shares["3"].high - shares["3"].low)


def test_what_is_no_merge_has_no_inputs() -> None:
    assert attribute_lora(lora(50), CANDIDATES).shares == ()
    zero = LoRA({path: LowRank(torch.zeros_like(f.B), f.A) for path, f in CANDIDATES[0].layers.items()})  # type: ignore[union-attr]
    assert attribute_lora(zero, CANDIDATES).residual == 1
    assert attribute_lora(CANDIDATES[0], []).text() == "0 = none of the candidates, residual 100.0% of the energy"
