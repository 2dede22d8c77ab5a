"""Mistakes of a training are found before the base loads and before its folder is claimed, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from lorarar.datasets.concepts import Concept
from lorarar.formats.writing import save
from lorarar.storage.config import load_config
from lorarar.storage.run_folder import ConfigError
from lorarar.workflows.schemas import TrainConfig, ZooConfig
from lorarar.workflows.train import run_train
from lorarar.workflows.training_inputs import find_training_mistakes, load_training_inputs
from lorarar.workflows.zoo import run_zoo
from tests import ROOT
from tests.tiny import two_block_lora

NO_BASE = ["base=owner/none", "device=cpu"]


@pytest.fixture
def given(folder: Path, concepts: dict[str, Concept], tmp_path: Path) -> list[str]:
    """Overrides for the tiny concepts, each with a LoRA; there is no base."""
    (tmp_path / "loras").mkdir()
    for name in concepts:
        save(two_block_lora(2), tmp_path / "loras" / f"{name}.safetensors")
    paths = {"images": folder / "images", "splits": folder / "concepts.yaml", "loras": tmp_path / "loras"}
    paths |= {"runs": tmp_path / "runs"}
    settings = [f"{key}={path}" for key, path in paths.items()]
    return [*NO_BASE, *settings, f"manifests=[{folder / 'concepts.yaml'}]", "split=tiny", "classifier=null"]


def config(name: str, given: Sequence[str]) -> TrainConfig:
    return load_config(TrainConfig, ROOT / "configs" / "train" / f"{name}.yaml", given)


def test_a_sound_configuration_has_no_mistakes(given: list[str], concepts: dict[str, Concept]) -> None:
    settings = config("embedded_paper", [*given, "loss_weights.distillation=0"])
    assert find_training_mistakes(settings) == []
    assert load_training_inputs(settings).loras.keys() == concepts.keys()


def test_all_mistakes_are_named_before_the_base_loads(given: list[str], tmp_path: Path) -> None:
    for path in list((tmp_path / "loras").glob("train_*")):
        path.unlink()
    wrong = ["options.hiden=3", "monitor=validation/joint"]
    with pytest.raises(ConfigError) as error:
        run_train(config("embedded_paper", [*given, *wrong]))
    for part in ("found 'hiden': did you mean 'hidden'", "found 'validation/joint'", "found none of train_content_00"):
        assert part in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_options_that_the_merger_refuses_are_found(given: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected options of the merger 'constant'"):
        run_train(config("embedded_constant", [*given, "options.group=colour", "monitor=validation/loss"]))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("description", "expected a description of each concept, which loss_weights.distillation needs, found none of"),
        ("styles", "in the split 'validation' of .*, found 1 contents and 0 styles: it has no pairs"),
        ("split", "expected the split 'validation' in 'tiny' of"),
    ],
)
def test_concepts_that_cannot_be_trained_on(
    change: str, message: str, given: list[str], folder: Path, tmp_path: Path
) -> None:
    listed = yaml.safe_load((folder / "concepts.yaml").read_text())
    if change == "description":
        listed["concepts"][0].pop("description", None)
    elif change == "styles":
        listed["splits"]["tiny"]["validation"]["styles"] = []
    else:
        del listed["splits"]["tiny"]["validation"]
    path = tmp_path / "concepts.yaml"
    path.write_text(yaml.safe_dump(listed))
    changed = [*given, f"manifests=[{path}]", f"splits={path}", "synthetic_pairs=0"]
    with pytest.raises(ConfigError, match=message):
        run_train(config("embedded", [*changed, "options.width=8"]))


def test_the_zoo_looks_for_images_before_it_loads_a_base(given: list[str], tmp_path: Path) -> None:
    small = [entry for entry in given if not entry.startswith(("loras=", "classifier=", "images="))]
    (tmp_path / "empty").mkdir()
    small += [f"images={tmp_path / 'empty'}", f"output={tmp_path / 'out'}"]
    zoo = load_config(ZooConfig, ROOT / "configs" / "zoo" / "embedded.yaml", small)
    with pytest.raises(FileNotFoundError, match=r"expected images of 'train_content_00', .* and 1 more in .*empty"):
        run_zoo(zoo)
