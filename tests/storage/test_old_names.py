"""lorarar.storage.old_names: files of earlier versions are read, old names in configurations are refused by name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorarar.storage.config import load_config
from lorarar.storage.old_names import RENAMED_KEYS, RENAMED_MERGERS, find_old_names, old_arguments, renamed_settings
from lorarar.storage.run_folder import ConfigError, claim_run
from lorarar.workflows.schemas import TrainConfig
from tests import ROOT

OLD = {"merger": "invariant", "start": "x", "weights": {"described": 1.0, "fidelity": 0.5}, "seed": 3}
NEW = {"merger": "layerwise", "init": "x", "loss_weights": {"distillation": 1.0, "fidelity": 0.5}, "seed": 3}


def test_settings_of_an_earlier_version_get_todays_names() -> None:
    assert renamed_settings(OLD, "TrainConfig") == NEW
    assert renamed_settings(NEW, "TrainConfig") == NEW
    assert renamed_settings({"weights": [1, 2]}, "Other") == {"weights": [1, 2]}


def test_every_new_name_is_one_of_its_configuration() -> None:
    fields = TrainConfig.__dataclass_fields__
    assert {new.partition(".")[0] for new in RENAMED_KEYS["TrainConfig"].values()} <= set(fields)
    assert not set(fields) & {old for old in RENAMED_KEYS["TrainConfig"] if "." not in old}


@pytest.mark.parametrize(
    ("override", "new", "old"),
    [
        ("start=x.safetensors", "init", "start"),
        ("spread=0.5", "weight_jitter", "spread"),
        ("weights.described=1", "loss_weights", "weights"),
        ("loss_weights.described=1", "loss_weights.distillation", "loss_weights.described"),
        ("merger=invariant", "merger=layerwise", "merger=invariant"),
        ("precision=bf16-mixed", "dtype=bf16", "precision=bf16-mixed"),
        ("precision=half", "dtype", "precision"),
    ],
)
def test_an_old_name_in_a_configuration_is_refused(override: str, new: str, old: str) -> None:
    path = ROOT / "configs" / "train" / "embedded.yaml"
    with pytest.raises(ConfigError, match=rf"expected {new}, found its old name {old}: rename it"):
        load_config(TrainConfig, path, [override])


def test_nothing_new_is_taken_for_old() -> None:
    assert list(find_old_names(NEW, "TrainConfig")) == []
    assert set(RENAMED_MERGERS) & set(RENAMED_MERGERS.values()) == set()


@dataclass(frozen=True)
class TrainConfigLike:
    """A stand-in whose class name the table does not know."""

    seed: int = 0
    options: dict[str, int] = field(default_factory=dict)


def test_a_run_folder_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    config = load_config(TrainConfig, ROOT / "configs" / "train" / "embedded_constant.yaml", [f"runs={tmp_path}"])
    claim_run(tmp_path, config)
    kept = json.loads((tmp_path / "config.json").read_text())
    old = {{"loss_weights": "weights", "classifier": "reader", "init": "start"}.get(k, k): v for k, v in kept.items()}
    assert old.pop("dtype") == "fp32"
    old["precision"] = "32-true"
    for new, name in (("weight_jitter", "spread"), ("synthetic_pairs", "imagined")):
        old[name] = old.pop(new)
    old["weights"]["described"] = old["weights"].pop("distillation")
    (tmp_path / "config.json").write_text(json.dumps(old))
    claim_run(tmp_path, config)  # the same run under its old names
    (tmp_path / "config.json").write_text(json.dumps(old | {"seed": 99}))
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        claim_run(tmp_path, config)


def test_other_settings_keep_their_names(tmp_path: Path) -> None:
    claim_run(tmp_path, TrainConfigLike())
    claim_run(tmp_path, TrainConfigLike())
    with pytest.raises(ConfigError, match="another configuration"):
        claim_run(tmp_path, TrainConfigLike(seed=1))


@pytest.mark.parametrize(
    ("argv", "old", "new"),
    [
        (["imagine", "x.yaml"], "imagine", "synthesise"),
        (["merge", "a", "b", "--start", "n"], "--start", "--init"),
        (["judge", "plan", "--nuisances=5"], "--nuisances", "--perturbations"),
        (["merge", "--merger", "words"], "--merger words", "--merger text_guided"),
        (["metrics", "effects", "x.csv"], "metrics effects", "python experiments/metrics/effects.py"),
    ],
)
def test_old_arguments_are_found(argv: list[str], old: str, new: str) -> None:
    assert list(old_arguments(argv)) == [(old, new)]


def test_todays_arguments_are_not_old() -> None:
    assert list(old_arguments(["merge", "a", "b", "--init", "n", "--merger", "ties"])) == []
    assert list(old_arguments(["metrics", "configs/metrics/embedded.yaml"])) == []
    assert list(old_arguments([])) == []
