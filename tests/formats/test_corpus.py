"""Corpus: every file has the expected outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lorarar.formats.loading import assemble, load
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import save
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.lora.truncation import truncate_lora
from lorarar.mergers.table import MERGERS
from lorarar.storage.atomic import FormatError
from tests.formats.corpus import CASES, Case, shrink_transformers

OUTCOMES = {name: make().outcome for name, make in CASES.items()}
READABLE = [name for name, outcome in OUTCOMES.items() if outcome != "refused"]
REFUSED = [name for name, outcome in OUTCOMES.items() if outcome == "refused"]
DENSE = [name for name, outcome in OUTCOMES.items() if outcome == "approximate on request"]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_transformers(monkeypatch)


@dataclass(frozen=True)
class Base:
    """Base model with a few weights."""

    weights: Mapping[str, Tensor]

    def weight(self, path: str, /) -> Tensor:
        return self.weights[path]


def write(case: Case, folder: Path) -> Path:
    path = folder / "x.safetensors"
    if case.beside is not None:
        (folder / "adapter_config.json").write_text(json.dumps(case.beside))
    if case.data is not None:
        path.write_bytes(case.data)
    else:
        save_file(dict(case.tensors), path, metadata=dict(case.header) if case.header else None)
    return path


def check(lora: LoRA, deltas: Mapping[str, Tensor], tolerance: float = 1e-5) -> None:
    assert lora.layers.keys() == deltas.keys()
    for name, expected in deltas.items():
        delta = lora.layers[name].delta().double()
        assert delta.shape == expected.shape
        assert (delta - expected).abs().max() <= tolerance * expected.abs().max(), name


@pytest.mark.parametrize("name", READABLE)
def test_deltas_are_exact_and_come_back(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    path = write(case, tmp_path)
    contents = read_stored(path)
    assert contents.dialect == case.dialect
    assert all(case.warning in warning for warning in contents.warnings)
    assert bool(contents.warnings) == bool(case.warning)
    if case.outcome == "needs the base":
        with pytest.raises(FormatError, match=r"need the base model's weights.*`base`"):
            load(path)
    lora = assemble(contents, Base(case.base))
    check(lora, case.deltas)
    shapes = {
        path: shape for stored in contents.layers.values() for path, shape in stored.divided_shapes().items() if shape
    }
    assert shapes == {path: tuple(case.deltas[path].shape) for path in shapes}
    (tmp_path / "out").mkdir()  # separate from adapter_config.json
    written = save(lora, tmp_path / "out" / "y.safetensors", format="kohya", dtype=torch.float32)
    check(load(written[0]), case.deltas)
    merged = merge_exactly([lora, lora], MERGERS["direct"].call([lora, lora]))
    check(merged, {path: 2 * delta for path, delta in case.deltas.items()})


@pytest.mark.parametrize("name", REFUSED)
def test_errors_of_damaged_files(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    path = write(case, tmp_path)
    with pytest.raises(FormatError, match=case.message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", DENSE)
def test_dense_deltas_are_approximated_on_request(name: str, tmp_path: Path) -> None:
    lora = load(write(CASES[name](), tmp_path))
    with pytest.raises(FormatError, match="layers are dense.*format=.kohya..*`rank`"):
        save(lora, tmp_path / "y.safetensors", format="diffusers")
    matrices = LoRA({path: layer for path, layer in lora.layers.items() if len(layer.shape) == 2}, family="sdxl")
    smaller, losses = truncate_lora(matrices, rank=8)
    save(smaller, tmp_path / "y.safetensors", format="diffusers", dtype=torch.float32)
    back = load(tmp_path / "y.safetensors")
    for path, layer in matrices.layers.items():
        error = (back.layers[path].delta() - layer.delta()).norm() / layer.delta().norm()
        assert 0.01 < error < 1
        assert losses[path].relative == pytest.approx(float(error), rel=1e-3)


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 25
    assert set(OUTCOMES.values()) == {
        "exact",
        "needs the base",
        "approximate on request",
        "refused",
    }
