"""experiments/lycoris: the configurations, and the verdicts on rows of known values."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from lorarar.datasets.prompts import TYPES
from tests import ROOT


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "lycoris"))
    import analyse
    import configurations

    yield configurations, analyse
    for name in ("analyse", "configurations"):
        del sys.modules[name]


def test_26_configurations_with_names_of_their_own(scripts: tuple[ModuleType, ModuleType]) -> None:
    from lorarar.training.settings import find_recipe_mistakes

    chosen = list(scripts[0].configurations())
    assert len({each.name for each in chosen}) == len(chosen) == 26
    assert [mistake for each in chosen for mistake in find_recipe_mistakes(each.recipe)] == []


def test_ranks_and_verdicts(scripts: tuple[ModuleType, ModuleType]) -> None:
    """LoKr fits most, LoHa least; longer training fits more and is less diverse; nothing else has an effect."""
    settings, analyse = scripts
    random = np.random.default_rng(0)
    fit = {"LoRA": 0.5, "LoHa": 0.3, "LoKr": 0.7, "native": 0.5}

    def row(chosen: object, seed: int, steps: int) -> dict[str, object]:
        def values() -> dict[str, float]:
            fidelity = fit[chosen.algorithm] + steps / 1000 + 0.01 * random.normal()  # type: ignore[attr-defined]
            others = {
                "controllability": random.normal(),
                "base preservation": random.normal(),
                "style fidelity": fidelity,
            }
            return {"fidelity": fidelity, "diversity": -steps + random.normal(), **others}

        by_class = {name: {kind: values() for kind in TYPES} for name in analyse.CLASSES}
        return {"configuration": chosen.name, "seed": seed, "steps": steps, "values": by_class}  # type: ignore[attr-defined]

    rows = [
        row(chosen, seed, steps)
        for chosen in settings.configurations()
        for seed in settings.SEEDS
        for steps in settings.CHECKPOINTS
    ]
    ranks = analyse.Ranks(rows)
    assert analyse.normalised(np.array([[3.0], [1.0], [1.0], [9.0]]))[:, 0].tolist() == [2 / 3, 1 / 6, 1 / 6, 1.0]
    text, record = analyse.algorithm_table(ranks)
    assert {name: row["rank"] for name, row in record["fidelity"].items()}["LoKr"] == 5
    assert record["fidelity"]["LoHa"]["rank"] == 1
    assert {name: row["paper"] for name, row in record["fidelity"].items()} == {
        name: ranks[0] for name, ranks in analyse.PAPER.items()
    }
    assert record["style fidelity"]["LoHa"]["rank"] == 1
    assert record["style fidelity"]["LoHa"]["paper"] is None
    assert analyse.classes_of("style fidelity") == analyse.STYLES
    assert "| LoKr | 5 (paper 4); 0." in text
    verdicts = {row["statement"]: row["verdict"] for row in analyse.statements_table(ranks)[1]}
    assert verdicts["LoKr fits more than LoRA"] == verdicts["LoRA fits more than LoHa"] == "confirmed"
    assert verdicts["more training raises fidelity"] == verdicts["more training lowers diversity"] == "confirmed"
    assert verdicts["more training lowers controllability"] == "undecided"
    assert abs(analyse.correlations(ranks)["train"]) < 0.1
