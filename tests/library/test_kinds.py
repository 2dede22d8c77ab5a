"""lorarar.library.kinds: the shipped model, and LoRAs that it does not know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lorarar import load
from lorarar.library.kinds import MODELS, kind_model, kind_of
from lorarar.storage import EMBEDDED
from tests.tiny import two_block_lora


@pytest.mark.parametrize("name", ["test_content_03", "test_style_03"])
def test_the_shipped_model_knows_test_loras(name: str) -> None:
    stated = load(EMBEDDED / "loras" / f"{name}.safetensors")
    kind = kind_of(stated)
    assert kind is not None
    assert (kind.kind, kind.probability, kind.stated) == (name.split("_")[1], 1.0, True)
    predicted = kind_of(replace(stated, metadata={}))
    assert predicted is not None
    assert predicted.kind == name.split("_")[1]
    assert 0.9 < predicted.probability < 1
    assert not predicted.stated


def test_there_is_no_prediction_for_other_spectra() -> None:
    lora = replace(load(EMBEDDED / "loras" / "test_style_03.safetensors"), metadata={})
    whole = {path: replace(f, B=f.B[:, :1], A=f.A[:1]) for path, f in lora.layers.items()}  # type: ignore[type-var]
    assert kind_of(lora) is not None
    assert kind_of(replace(lora, layers=whole)) is None


def test_there_is_no_prediction_without_a_model_of_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kind_of(two_block_lora(2)) is None
    assert kind_of(replace(two_block_lora(2), family="sdxl")) is None
    assert [path.stem for path in MODELS.glob("*.json")] == ["embedded"]
    monkeypatch.setattr("lorarar.library.kinds.VERSION", 0)
    kind_model.cache_clear()
    assert kind_model("embedded") is None
    kind_model.cache_clear()
