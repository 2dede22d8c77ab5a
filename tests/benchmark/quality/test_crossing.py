"""lorarar.benchmark.quality.crossing and recipes: several LoRAs of one concept, and scores by recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lorarar.benchmark.quality.cells import ScoredCell
from lorarar.benchmark.quality.crossing import by_concept, crossed_sizes
from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.benchmark.quality.recipes import recipes_table, scores_by_recipe
from lorarar.benchmark.quality.results import QUALITY_METRICS, summarise_scores
from lorarar.datasets.concepts import Concept, Pair
from lorarar.datasets.splits import Split
from lorarar.storage.run_folder import ConfigError
from tests.benchmark.quality.test_results import SEEDS, outcome

CONCEPTS = 8


def concept(kind: str, number: int, copy: str) -> Concept:
    return Concept(f"{kind}_{number}_{copy}", kind, "a", (Path(f"{kind}_{number}/0.png"),), ("a",))  # type: ignore[arg-type]


def compared(every: int) -> list[Pair]:
    """The pairs of two LoRAs, a and b, of each of eight contents and eight styles, as the benchmark takes them."""
    names = {kind: [concept(kind, i, copy) for i in range(CONCEPTS) for copy in "ab"] for kind in ("content", "style")}
    concepts = {each.name: each for members in names.values() for each in members}
    contents, styles = (tuple(each.name for each in names[kind]) for kind in ("content", "style"))
    inputs = QualityInputs.__new__(QualityInputs)
    object.__setattr__(inputs, "splits", {"test": Split(contents, styles)})
    object.__setattr__(inputs, "concepts", concepts)
    return by_concept(inputs._diagonals("test", every))


def test_every_fourth_pair_has_each_lora_in_four_and_each_pair_of_concepts_once() -> None:
    pairs = compared(4)
    assert len(pairs) == 64
    for side in ("content", "style"):
        names = [getattr(pair, side).name for pair in pairs]
        assert {names.count(name) for name in names} == {4}
    assert crossed_sizes(pairs) == (CONCEPTS, CONCEPTS)
    numbers = [(int(pair.content.name.split("_")[1]), int(pair.style.name.split("_")[1])) for pair in pairs]
    assert numbers == [(c, s) for c in range(CONCEPTS) for s in (0, 2, 4, 6, 1, 3, 5, 7)]  # in order of appearance


def test_all_pairs_have_four_for_each_pair_of_concepts() -> None:
    assert len(compared(1)) == 256
    assert crossed_sizes(compared(1)) == (CONCEPTS, CONCEPTS)
    assert len({pair.name for pair in compared(1)[:4]}) == 4
    assert {pair.content.images for pair in compared(1)[:4]} == {compared(1)[0].content.images}


def test_pairs_that_are_not_crossed_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected 8 contents that meet 8 styles equally often, found 63 pairs"):
        crossed_sizes(compared(4)[1:])


def test_scores_by_recipe() -> None:
    """Contents 0 and 1 have the recipe "wild"; the row scores .2 on them and .9 elsewhere."""
    pairs = compared(4)
    recipes = {p.content.name: "wild" if p.content.name[8] in "01" else "tame" for p in pairs}
    recipes |= {p.style.name: "wild" if p.style.name[6] == "0" else "tame" for p in pairs}
    outcomes = [outcome("row", lambda c, s, k: 0.2 if c < 2 else 0.9), outcome("other", lambda c, s, k: 0.5)]
    found = scores_by_recipe(outcomes, pairs, recipes)
    wild = found["row"]["wild"]
    assert wild.pairs == 2 * 8 + 6
    assert wild.joint.mean == pytest.approx((16 * 0.2 + 6 * 0.9) / 22)
    assert wild.own == pytest.approx((16 * 0.2 + 2 * 0.2 + 6 * 0.9) / 24)
    assert found["row"]["tame"].pairs == 64 - 2  # but for the two pairs of two wild LoRAs
    assert wild.joint.low < wild.joint.mean < wild.joint.high
    assert scores_by_recipe(outcomes, pairs, {}) == {}
    lines = recipes_table(found).splitlines()
    assert lines[0] == "| recipe | pairs | row | other |"
    assert lines[3] == "| wild | 22 | 0.39 | 0.50 |"


def test_the_images_of_several_loras_are_replicates_of_one_pair_of_concepts() -> None:
    cells = [ScoredCell(dict.fromkeys(QUALITY_METRICS, [i // 4 / 100] * SEEDS), (), 0.1, 0) for i in range(256)]
    row = replace(outcome("row", lambda c, s, k: 0.0), cells=[cells])
    raw = np.array(summarise_scores([row], compared(1), []).raw["row"]["content"])
    assert raw.shape == (CONCEPTS, CONCEPTS, 4 * SEEDS)
    assert raw[1, 2] == pytest.approx(0.10)
