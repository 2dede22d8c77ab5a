"""lorarar.benchmark.quality.results: the statistics of cells with known scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lorarar.benchmark.quality.cells import Cell
from lorarar.benchmark.quality.config import MethodConfig
from lorarar.benchmark.quality.results import METRICS, Row, summarise, summarise_times
from lorarar.datasets.concepts import Concept, Pair

SIDE, SEEDS = 8, 4


def pairs() -> list[Pair]:
    contents = [Concept(f"c{i}", "content", "a", (Path("a"),), ("a",)) for i in range(SIDE)]
    styles = [Concept(f"s{i}", "style", "a", (Path("a"),), ("a",)) for i in range(SIDE)]
    return [Pair(content, style) for content in contents for style in styles]


def row(name: str, score: Callable[[int, int, int], float], seeds: int = 1, kind: str = "merger") -> Row:
    """A row whose score is a function of content, style and noise seed; each training seed adds a tenth."""
    cells = []
    for training in range(seeds):
        values = [[score(c, s, k) + training / 10 for k in range(SEEDS)] for c in range(SIDE) for s in range(SIDE)]
        cells.append([Cell(dict.fromkeys(METRICS, value), (), 0.25 + i, 10 * i) for i, value in enumerate(values)])
    return Row(MethodConfig(name, kind, name), {}, [], cells)  # type: ignore[arg-type]


def noise(seed: int) -> Callable[[int, int, int], float]:
    values = np.random.default_rng(seed).normal(0, 0.02, (SIDE, SIDE, SEEDS))
    return lambda c, s, k: float(values[c, s, k])


def test_means_comparisons_and_the_tied_set() -> None:
    first, second, third = noise(0), noise(1), noise(2)
    rows = [
        row("ceiling", lambda c, s, k: 1.0, kind="truth"),
        row("good", lambda c, s, k: 0.7 + first(c, s, k)),
        row("alike", lambda c, s, k: 0.7 - 0.001 + second(c, s, k)),
        row("bad", lambda c, s, k: 0.3 + third(c, s, k)),
    ]
    found = summarise(rows, pairs(), [("bad", "good")])
    assert found["best"] == max(("good", "alike"), key=lambda name: found["methods"][name]["joint"]["mean"])
    assert set(found["tied_with_the_best"]) == {"good", "alike"}
    differs = {c["second"]: c["differs"] for c in found["best_minus"]["joint"]}
    assert differs == {({"good", "alike"} - {found["best"]}).pop(): False, "bad": True}
    (asked,) = found["compared"]["joint"]
    assert asked["mean"] == pytest.approx(-0.4, abs=0.01)
    assert asked["low"] < asked["mean"] < asked["high"] < 0
    assert asked["differs"]


def test_cells_are_contents_by_styles() -> None:
    values = row("a", lambda c, s, k: c + s / 10 + k / 100).scores("joint", SIDE)
    assert values.shape == (SIDE, SIDE, SEEDS)
    assert values[3, 2, 1] == pytest.approx(3.21)


def test_training_seeds_are_averaged_and_shown() -> None:
    found = summarise([row("a", lambda c, s, k: 0.5, seeds=3)], pairs(), [])
    assert found["methods"]["a"]["joint"]["mean"] == pytest.approx(0.6)
    assert found["methods"]["a"]["joint_of_training_seeds"] == pytest.approx([0.5, 0.6, 0.7])


def test_times() -> None:
    found = summarise_times([row("a", lambda c, s, k: 0.5)])
    assert found == {"a": {"merge_seconds": 0.25 + 31.5, "extra_bytes": 630}}


def test_methods_of_equal_means_are_tied() -> None:
    same = noise(0)
    found = summarise([row("z", same), row("a", same), row("m", noise(1))], pairs(), [])
    assert found["best"] == found["tied_with_the_best"][0]
    assert {"a", "z"} <= set(found["tied_with_the_best"])
