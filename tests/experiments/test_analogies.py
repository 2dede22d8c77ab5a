"""experiments/analogies: training seeds are pooled, and differences are of the same seeds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests import ROOT

NAMES = ("paint", "ground", "mark")


@pytest.fixture
def summarise(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "analogies"))
    import summarise

    yield summarise
    del sys.modules["summarise"]


def row(*accuracies: float) -> dict[str, object]:
    scores = [{"accuracy": accuracy, "preservation": 0.5, "exact": 0.25} for accuracy in accuracies]
    return {"transformations": dict(zip(NAMES, scores, strict=True))}


def test_training_seeds_are_pooled_and_compared_seed_by_seed(summarise: ModuleType) -> None:
    rows = {
        "basis": row(0.5, 0.6, 0.7),
        "basis, seed 1": row(0.7, 0.8, 0.9),
        "one LoRA": row(0.4, 0.5, 0.6),
        "one LoRA, seed 1": row(0.6, 0.7, 0.8),
        "uniform router": row(0.4, 0.4, 0.4),
        "oracle router": {},
    }
    found = summarise.summarise({"seen": rows})
    basis = found["means"]["seen"]["basis"]
    assert (basis["seeds"], basis["transformations"], basis["accuracy"]["mean"]) == (2, 3, 0.7)
    assert basis["accuracy"]["low"] < 0.6 < 0.8 < basis["accuracy"]["high"]  # seeds widen the interval
    differences = found["differences"]["seen"]
    assert differences["one LoRA"]["accuracy"] == {"mean": 0.1, "low": 0.1, "high": 0.1}
    assert (differences["uniform router"]["seeds"], differences["uniform router"]["accuracy"]["mean"]) == (1, 0.2)
    assert "oracle router" not in found["means"]["seen"]
