"""Shapley values: their axioms, a sum over all orders as an independent reference, and SHAP values of CatBoost."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from effects import (
    Array,
    Table,
    catboost_values,
    check_factorial,
    effects_table,
    main,
    measure_effects,
    read_table,
    shapley_values,
)
from numpy.testing import assert_allclose

from tests import ROOT


def factorial(*levels: int) -> Array:
    return np.array(list(itertools.product(*(range(n) for n in levels))), float)


def by_orders(settings: Array, outcome: Array) -> Array:
    """Return the other form of the definition: the mean gain of a factor over all orders of the factors."""
    n, k = settings.shape
    values = np.zeros((n, k))
    orders = list(itertools.permutations(range(k)))
    for row, order in itertools.product(range(n), orders):
        agrees = np.ones(n, bool)
        before = outcome.mean()
        for factor in order:
            agrees &= settings[:, factor] == settings[row, factor]
            values[row, factor] += (outcome[agrees].mean() - before) / len(orders)
            before = outcome[agrees].mean()
    return values


@pytest.fixture
def outcome() -> Array:
    """Two main effects of different sizes, an interaction, and a factor without effect."""
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
    sizes, expected = np.abs(learnt).mean(0), np.abs(exact).mean(0)
    assert list(np.argsort(sizes)) == list(np.argsort(expected))
    assert_allclose(learnt.sum(1), outcome - outcome.mean(), atol=0.1 * np.ptp(outcome))
    assert not catboost_values(SETTINGS, np.ones(36)).any()


def test_recorded_values_of_catboost_agree_with_the_exact_values() -> None:
    """This also holds where the extra is not installed: the values of CatBoost for the study are recorded."""
    folder = ROOT / "experiments" / "metrics"
    recorded = json.loads((folder / "study.json").read_text())["catboost"]
    exact = measure_effects(read_table(folder / "study.csv", ("rank", "steps", "rate", "images")))
    assert len(exact) == len(recorded) == 24
    for name, effect in exact.items():
        largest = max(effect.importance.values())
        for factor, importance in effect.importance.items():
            assert recorded[name]["importance"][factor] == pytest.approx(
                importance, rel=0.01, abs=0.01 * largest + 1e-9
            )


def test_catboost_takes_an_incomplete_table(outcome: Array) -> None:
    pytest.importorskip("catboost", reason="the extra `effects` is not installed")
    sizes = np.abs(catboost_values(SETTINGS[:-5], outcome[:-5])).mean(0)
    assert sizes.argmin() == 3


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch, outcome: Array) -> None:
    monkeypatch.setitem(sys.modules, "catboost", None)
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


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.csv"
    table.write_text("rank,score\n2,1\n8,3\n")
    main([str(table), "--factors", "rank"])
    assert "| score | 2.000 | 1.000 (-1.000 .. +1.000) |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="effects: .*expected columns.*steps"):
        main([str(table), "--factors", "steps"])


def test_the_script_runs_by_its_path(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("rank,score\n2,1\n8,3\n")
    script = ROOT / "experiments" / "metrics" / "effects.py"
    command = [sys.executable, str(script), str(table), "--factors", "rank", "--criteria", "score"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| score | 2.000 |" in run.stdout
