"""Shapley values: their axioms, a sum over all orders as an independent reference, SHAP on CatBoost beside them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lorarar.evaluation.metrics.effects import (
    Array,
    Table,
    catboost_values,
    check_factorial,
    effects_table,
    measure_effects,
    read_table,
    shapley_values,
)
from tests import ROOT


def factorial(*levels: int) -> Array:
    return np.array(list(itertools.product(*(range(n) for n in levels))), float)


def by_orders(settings: Array, outcome: Array) -> Array:
    """The textbook's other form: a factor's mean gain over all orders in which factors become known."""
    n, k = settings.shape
    found = np.zeros((n, k))
    orders = list(itertools.permutations(range(k)))
    for row, order in itertools.product(range(n), orders):
        known = np.ones(n, bool)
        before = outcome.mean()
        for factor in order:
            known &= settings[:, factor] == settings[row, factor]
            found[row, factor] += (outcome[known].mean() - before) / len(orders)
            before = outcome[known].mean()
    return found


@pytest.fixture
def outcome() -> Array:
    """Two main effects of unlike size, an interaction, and a factor without effect."""
    a, b, c, _ = factorial(2, 3, 2, 3).T
    return 3 * a + b**2 + 1.5 * a * c


SETTINGS = factorial(2, 3, 2, 3)


def test_values_equal_those_of_all_orders(outcome: Array) -> None:
    noisy = outcome + np.random.default_rng(0).normal(size=len(outcome))
    assert_allclose(shapley_values(SETTINGS, noisy), by_orders(SETTINGS, noisy), atol=1e-12)


def test_values_add_up_and_a_factor_without_effect_has_none(outcome: Array) -> None:
    values = shapley_values(SETTINGS, outcome)
    assert_allclose(values.sum(1), outcome - outcome.mean(), atol=1e-12)
    assert_allclose(values[:, 3], 0, atol=1e-12)
    a = SETTINGS[:, 0]
    assert_allclose(shapley_values(SETTINGS, 5 * a)[:, 0], 5 * (a - 0.5), atol=1e-12)


def test_repeated_rows_are_cells_with_a_mean(outcome: Array) -> None:
    twice = shapley_values(np.concatenate([SETTINGS, SETTINGS]), np.concatenate([outcome - 1, outcome + 1]))
    assert_allclose(twice, np.tile(shapley_values(SETTINGS, outcome), (2, 1)), atol=1e-12)


@pytest.mark.parametrize("rows", [slice(1, None), [0, *range(36)]])
def test_an_incomplete_factorial_is_refused(rows: slice | list[int]) -> None:
    check_factorial(SETTINGS)
    with pytest.raises(ValueError, match="expected a full factorial: 36 combinations.*use catboost"):
        shapley_values(SETTINGS[rows], SETTINGS[rows, 0])


def test_catboost_agrees_with_the_exact_values(outcome: Array) -> None:
    pytest.importorskip("catboost", reason="the extra `effects` is not installed")
    exact, learnt = shapley_values(SETTINGS, outcome), catboost_values(SETTINGS, outcome)
    assert learnt.shape == exact.shape
    assert_allclose(learnt, exact, atol=0.1 * np.ptp(outcome))
    assert np.corrcoef(learnt.ravel(), exact.ravel())[0, 1] > 0.99
    sizes, wanted = np.abs(learnt).mean(0), np.abs(exact).mean(0)
    assert list(np.argsort(sizes)) == list(np.argsort(wanted))
    assert_allclose(learnt.sum(1), outcome - outcome.mean(), atol=0.1 * np.ptp(outcome))
    assert not catboost_values(SETTINGS, np.ones(36)).any()


def test_the_studys_kept_values_of_catboost_agree_with_the_exact_ones() -> None:
    """Also where the extra is not installed: what CatBoost said of the real study's table was kept."""
    folder = ROOT / "experiments" / "metrics"
    kept = json.loads((folder / "study.json").read_text())["catboost"]
    exact = measure_effects(read_table(folder / "study.csv", ("rank", "steps", "rate", "images")))
    assert len(exact) == len(kept) == 24
    for name, effect in exact.items():
        largest = max(effect.importance.values())
        for factor, importance in effect.importance.items():
            assert kept[name]["importance"][factor] == pytest.approx(importance, rel=0.01, abs=0.01 * largest + 1e-9)


def test_catboost_takes_an_incomplete_table(outcome: Array) -> None:
    pytest.importorskip("catboost", reason="the extra `effects` is not installed")
    sizes = np.abs(catboost_values(SETTINGS[:-5], outcome[:-5])).mean(0)
    assert sizes.argmin() == 3


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, outcome: Array) -> None:
    monkeypatch.setitem(__import__("sys").modules, "catboost", None)
    with pytest.raises(ModuleNotFoundError, match=r"lorarar\[effects\]"):
        catboost_values(SETTINGS, outcome)


def test_a_table_is_read_and_its_effects_are_summarised(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("rank,rate,score,other\n2,0.1,1,0\n2,0.2,2,0\n8,0.1,5,0\n8,0.2,6,0\n")
    effects = measure_effects(read_table(path, ["rank", "rate"]))
    assert list(effects) == ["score", "other"]
    score = effects["score"]
    assert score.mean == 3.5
    assert score.importance == pytest.approx({"rank": 2.0, "rate": 0.5})
    assert score.levels["rank"] == pytest.approx({2.0: -2.0, 8.0: 2.0})
    assert effects["other"].importance == {"rank": 0.0, "rate": 0.0}
    assert "| score | 3.500 | 2.000 (-2.000 .. +2.000) | 0.500 (-0.500 .. +0.500) |" in effects_table(effects)
    assert list(read_table(path, ["rank"], ["other"]).criteria) == ["other"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected columns.*rank"),
        ("rank,score\n", "expected rows"),
        ("rank,score,score\n1,2,3\n", "each column once"),
        ("rank,score\n1,x\n", "line 2: expected a number for 'score'"),
        ("rank,score\n1,2\n1\n", "line 3: expected a number for 'score'"),
        ("rank,score\n1,nan\n", "expected finite numbers for 'score'"),
        ("", "expected columns"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(path, ["rank"])
    with pytest.raises(FileNotFoundError, match="expected a table"):
        read_table(tmp_path / "none.csv", ["rank"])


def test_one_factor_has_all_of_the_effect() -> None:
    table = Table(("rank",), np.array([[1.0], [2.0]]), {"score": np.array([1.0, 4.0])})
    assert measure_effects(table)["score"].importance == {"rank": 1.5}
