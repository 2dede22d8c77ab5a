"""lorarar.benchmark.quality.results: the statistics of cells with known scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lorarar.benchmark.quality.cells import ScoredCell
from lorarar.benchmark.quality.results import (
    QUALITY_METRICS,
    MergeCost,
    RowOutcome,
    summarise_scores,
    summarise_times,
)
from lorarar.benchmark.quality.rows import TableRow, Variant
from lorarar.benchmark.quality.settings import read_settings
from lorarar.benchmark.quality.table import results_table
from lorarar.datasets.concepts import Concept, Pair

SIDE, SEEDS = 8, 4


def pairs() -> list[Pair]:
    contents = [Concept(f"c{i}", "content", "a", (Path(f"c{i}"),), ("a",)) for i in range(SIDE)]
    styles = [Concept(f"s{i}", "style", "a", (Path(f"s{i}"),), ("a",)) for i in range(SIDE)]
    return [Pair(content, style) for content in contents for style in styles]


def outcome(name: str, score: Callable[[int, int, int], float], seeds: int = 1, *, competes: bool = True) -> RowOutcome:
    """A row whose score is a function of content, style and noise seed; each training seed adds a tenth."""
    cells = []
    for training in range(seeds):
        values = [[score(c, s, k) + training / 10 for k in range(SEEDS)] for c in range(SIDE) for s in range(SIDE)]
        cells.append(
            [ScoredCell(dict.fromkeys(QUALITY_METRICS, value), (), 0.25 + i, 10 * i) for i, value in enumerate(values)]
        )
    kind, source = ("merger", "direct") if competes else ("base", "")
    own = Variant({}, {}, read_settings(kind, source, {}))  # type: ignore[arg-type]
    return RowOutcome(TableRow(name, kind, own, (), (0,)), own, [], cells)  # type: ignore[arg-type]


def noise(seed: int, mean: float = 0.0) -> Callable[[int, int, int], float]:
    values = np.random.default_rng(seed).normal(mean, 0.02, (SIDE, SIDE, SEEDS))
    return lambda c, s, k: float(values[c, s, k])


def test_means_comparisons_and_the_tied_set() -> None:
    first, second, third = noise(0), noise(1), noise(2)
    outcomes = [
        outcome("ceiling", lambda c, s, k: 1.0, competes=False),
        outcome("good", lambda c, s, k: 0.7 + first(c, s, k)),
        outcome("alike", lambda c, s, k: 0.7 - 0.001 + second(c, s, k)),
        outcome("bad", lambda c, s, k: 0.3 + third(c, s, k)),
    ]
    results = summarise_scores(outcomes, pairs(), [("bad", "good")])
    assert results.best == max(("good", "alike"), key=lambda name: results.methods[name].joint.mean)
    assert set(results.tied_with_the_best) == {"good", "alike"}
    differs = {each.second: each.differs for each in results.best_minus["joint"]}
    assert differs == {({"good", "alike"} - {results.best}).pop(): False, "bad": True}
    (compared,) = results.compared["joint"]
    assert compared.mean == pytest.approx(-0.4, abs=0.01)
    assert compared.low < compared.mean < compared.high < 0
    assert compared.differs


def test_cells_are_contents_by_styles() -> None:
    values = outcome("a", lambda c, s, k: c + s / 10 + k / 100).scores("joint", (SIDE, SIDE))
    assert values.shape == (SIDE, SIDE, SEEDS)
    assert values[3, 2, 1] == pytest.approx(3.21)


def test_training_seeds_are_averaged_and_kept() -> None:
    result = summarise_scores([outcome("a", lambda c, s, k: 0.5, seeds=3)], pairs(), []).methods["a"]
    assert result.joint.mean == pytest.approx(0.6)
    assert result.joint_of_training_seeds == pytest.approx([0.5, 0.6, 0.7])


def test_results_hold_the_joint_score_of_every_image_and_training_seed() -> None:
    results = summarise_scores([outcome("a", lambda c, s, k: c / 10 + s / 100 + k / 1000, seeds=2)], pairs(), [])
    joint = np.array(results.raw["a"]["joint"])
    assert joint.shape == (2, SIDE, SIDE, SEEDS)
    assert joint[1, 3, 2, 1] == pytest.approx(0.1 + 0.321)
    assert np.array(results.raw["a"]["strict"])[3, 2, 1] == pytest.approx(0.05 + 0.321)


def test_times() -> None:
    assert summarise_times([outcome("a", lambda c, s, k: 0.5)]) == {"a": MergeCost(0.25 + 31.5, 630)}


def test_methods_of_equal_means_are_tied() -> None:
    same = noise(0, 0.5)
    results = summarise_scores([outcome("z", same), outcome("a", same), outcome("m", noise(1, 0.5))], pairs(), [])
    assert results.best == results.tied_with_the_best[0]
    assert {"a", "z"} <= set(results.tied_with_the_best)


def test_the_table_lists_the_best_first_and_marks_ties() -> None:
    outcomes = [
        outcome("bad", lambda c, s, k: 0.3),
        outcome("good", lambda c, s, k: 0.7, seeds=2),
        outcome("unmerged", lambda c, s, k: 0.1, competes=False),
    ]
    lines = results_table(summarise_scores(outcomes, pairs(), []), {"good": MergeCost(0.0125, 3_000_000)}, None)
    head, _, first, second, third = lines.splitlines()
    assert head.startswith("| method | content |")
    assert first == (
        "| **good** (0.700, 0.800) | 0.750 | 0.750 | 0.750 [0.750, 0.750] | 0.750 [0.750, 0.750] |  |  | 12.5 | 3 |  |"
    )
    assert second.startswith("| bad | 0.300 |")
    assert "+0.450 [+0.450, +0.450]" in second
    assert third.startswith("| unmerged | 0.100 |")


def test_equivalence_is_stated_within_a_margin_that_the_configuration_fixed() -> None:
    first, second = noise(0), noise(1)
    outcomes = [
        outcome("good", lambda c, s, k: 0.7 + first(c, s, k)),
        outcome("alike", lambda c, s, k: 0.69 + second(c, s, k)),
        outcome("bad", lambda c, s, k: 0.3),
    ]
    without = summarise_scores(outcomes, pairs(), [("alike", "bad")])
    assert {each.equivalent for each in (*without.best_minus["joint"], *without.compared["joint"])} == {None}
    assert "equivalent" not in results_table(without, {}, None)
    results = summarise_scores(outcomes, pairs(), [("alike", "bad")], margin=0.03)
    assert {each.second: each.equivalent for each in results.best_minus["joint"]} == {"alike": True, "bad": False}
    assert results.equivalence_margin == 0.03
    assert results.compared["strict"][0].equivalent is False
    assert results_table(results, {}, None).count("], equivalent within 0.03 |") == 1
