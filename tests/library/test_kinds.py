"""lorarar.library.kinds and raw: the fit against scikit-learn, the shipped model, the baseline of raw factors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lorarar import load
from lorarar.library.kinds import MODELS, KindModel, fit_kinds, kind_model, kind_of, save_kinds
from lorarar.library.raw import raw_vector, reduce_raw
from lorarar.lora import Dense, LoRA
from lorarar.storage import EMBEDDED
from tests.library.test_fingerprints import regauged
from tests.tiny import two_block_lora


def test_the_fit_is_scikit_learns(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    spectra = random.standard_normal((60, 5)) * [1, 2, 3, 4, 5]
    kinds = ["style" if row[0] + row[1] + random.standard_normal() > 0 else "content" for row in spectra]
    model = fit_kinds(spectra, kinds, penalty=0.5)
    scaled = (spectra - spectra.mean(0)) / spectra.std(0)
    theirs = LogisticRegression(C=1 / 0.5, tol=1e-8).fit(scaled, kinds).predict_proba(scaled)[:, 1]
    np.testing.assert_allclose([model.style_probability(row) for row in spectra], theirs, atol=1e-2)
    save_kinds(model, tmp_path / "model.json")
    assert (
        KindModel(
            **{
                k: tuple(v) if isinstance(v, list) else v
                for k, v in json.loads((tmp_path / "model.json").read_text()).items()
            }
        )
        == model
    )


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


def test_raw_factors_depend_on_the_factorisation() -> None:
    loras = [two_block_lora(2, seed=i) for i in range(6)]
    vectors = [raw_vector(lora) for lora in loras]
    swapped = LoRA({path: replace(regauged(f), scale=f.scale) for path, f in loras[0].layers.items()})  # type: ignore[arg-type]
    assert len(raw_vector(swapped)) != len(vectors[0])
    components = reduce_raw(vectors, 3)
    rows = np.stack(vectors) - np.mean(vectors, 0)
    left, values, _ = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(np.abs(components), np.abs(left[:, :3] * values[:3]), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="expected factors A and B in every layer, found a dense delta at mid_block"):
        raw_vector(LoRA({"mid_block": Dense(loras[0].layers[next(iter(loras[0].layers))].delta())}))
