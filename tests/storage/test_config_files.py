"""lorarar.storage.config_files: every shipped configuration has a command and a purpose; copies are complete."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lorarar.storage.atomic import FormatError
from lorarar.storage.config import ConfigError, load_config
from lorarar.storage.config_files import ShippedConfig, copy_config, list_configs
from lorarar.storage.locations import CONFIGS
from lorarar.storage.schema_keys import config_keys
from lorarar.workflows.schemas import TrainConfig


def test_every_shipped_configuration_has_a_command_and_a_purpose() -> None:
    found = list_configs()
    assert len(found) == len(list(CONFIGS.rglob("*.yaml"))) > 30
    assert [config.name for config in found if not config.command or len(config.text) < 20] == []
    assert [config for config in found if config.name == "zoo/sdxl"] == [
        ShippedConfig(
            "zoo/sdxl",
            "zoo",
            "The paper's LoRAs on SDXL: 30 subjects and 26 styles, rank 64, 1000 steps at 5e-5, resolution 1024.",
            CONFIGS / "zoo" / "sdxl.yaml",
        )
    ]


def test_a_copy_means_the_same_and_shows_every_further_key(tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy_config("train/embedded", copy, TrainConfig)
    assert load_config(TrainConfig, copy) == load_config(TrainConfig, "train/embedded")
    original = (CONFIGS / "train" / "embedded.yaml").read_text(encoding="utf-8")
    text = copy.read_text(encoding="utf-8")
    assert text.startswith(original.rstrip())
    # The note of defaults, uncommented, is YAML with the defaults of the dataclass.
    note = text.partition("# Further keys, with their defaults:\n")[2]
    lines = [line.removeprefix("# ") for line in note.splitlines()]
    defaults = yaml.safe_load("\n".join(lines))
    assert defaults["sampling"] == {"steps": 15, "guidance": 2.5}
    assert defaults["seeds"] == [0]
    outer = {key.name for key in config_keys(TrainConfig) if "." not in key.name}
    assert set(defaults) | set(yaml.safe_load(original)) == outer


def test_a_copy_replaces_nothing_unless_forced(tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text("mine")
    with pytest.raises(FormatError, match="exists already"):
        copy_config("train/embedded", copy, TrainConfig)
    assert copy.read_text() == "mine"
    copy_config("train/embedded", copy, TrainConfig, force=True)
    assert copy.read_text() != "mine"
    with pytest.raises(ConfigError, match="found no train/none"):
        copy_config("train/none", tmp_path / "other.yaml", TrainConfig)
