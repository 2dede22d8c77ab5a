"""lorarar.benchmark.quality.settings: one dataclass per kind of row; wrong and old keys are refused."""

from __future__ import annotations

from typing import Any

import pytest

from lorarar.benchmark.gate_settings import Fit
from lorarar.benchmark.quality.settings import (
    FileSettings,
    JointSettings,
    MergerSettings,
    PairSettings,
    ReferenceSettings,
    TrainedSettings,
    TruthSettings,
    read_settings,
)
from lorarar.mergers.optimised.text_guided import TEXT_GUIDED
from lorarar.storage.locations import NETWORKS
from tests import ROOT

NETWORK = NETWORKS / "hypernetwork.safetensors"
TRAIN = "configs/train/embedded_paper.yaml"
RECIPE = {"rank": 2, "alphas": [2], "steps": 1, "learning_rate": 0.01, "images": 1}


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("kind", ["base", "content", "style"])
def test_a_reference_has_no_settings(kind: Any) -> None:
    assert read_settings(kind, "", {}) == ReferenceSettings(kind)
    assert not read_settings(kind, "", {}).competes
    with pytest.raises(ValueError, match="expected no setting for a reference among none, found 'steps'"):
        read_settings(kind, "", {"steps": 1})
    with pytest.raises(ValueError, match=f"expected no source for a row of kind '{kind}', found 'direct'"):
        read_settings(kind, "direct", {})


def test_a_merger_has_all_its_options_and_weights() -> None:
    settings = read_settings("merger", "dare", {"density": 0.2, "weights": [0.5, 1]})
    assert isinstance(settings, MergerSettings)
    assert settings.options == {"density": 0.2, "seed": 0}
    assert settings.weights == (0.5, 1)
    assert settings.competes


def test_a_merger_is_balanced_as_stated() -> None:
    settings = read_settings("merger", "ties", {"balance": 0.5})
    assert isinstance(settings, MergerSettings)
    assert settings.balance == 0.5
    with pytest.raises(ValueError, match="expected `balance` from 0 .* found 2"):
        read_settings("merger", "ties", {"balance": 2})


def test_a_pair_is_optimised_as_stated() -> None:
    stated = {"steps": 3, "predicted": ["to_q"], "init": str(NETWORK)}
    settings = read_settings("pair", "ziplora", stated)
    assert isinstance(settings, PairSettings)
    assert (settings.method.recipe.steps, settings.method.predicted, settings.init) == (3, ("to_q",), NETWORK)
    assert settings.competes
    described = read_settings("pair", "ziplora", {"true_descriptions": True})
    assert isinstance(described, PairSettings)
    assert described.method.weights == TEXT_GUIDED.weights
    assert not described.competes
    by_model = read_settings("pair", "ziplora", {"describe": "tiny"})
    assert isinstance(by_model, PairSettings)
    assert (by_model.method.weights, by_model.describe, by_model.competes) == (TEXT_GUIDED.weights, "tiny", True)
    with pytest.raises(ValueError, match="expected true_descriptions or describe, found both"):
        read_settings("pair", "ziplora", {"describe": "tiny", "true_descriptions": True})


def test_a_trained_row_overrides_its_configuration() -> None:
    stated = {"recipe.steps": 7, "classifier": None, "options.predicted": ["to_q"], "other_pair": True}
    settings = read_settings("trained", TRAIN, stated)
    assert isinstance(settings, TrainedSettings)
    assert (settings.config.recipe.steps, settings.config.classifier, settings.config.wandb) == (7, None, "disabled")
    assert settings.config.options["predicted"] == ["to_q"]
    assert settings.other_pair


def test_recipes_and_files() -> None:
    truth = read_settings("truth", "", {"steps": 2, "learning_rate": 0.1, "images": 4})
    assert truth == TruthSettings(Fit(2, 0.1, 4))
    joint = read_settings("joint", "", RECIPE)
    assert isinstance(joint, JointSettings)
    assert joint.recipe.alphas == (2,)
    assert read_settings("file", str(NETWORK), {}) == FileSettings(NETWORK)
    assert not truth.competes
    assert not joint.competes


@pytest.mark.parametrize(
    ("kind", "source", "stated", "message"),
    [
        ("merger", "tis", {}, "found 'tis': did you mean 'ties'"),
        ("merger", "ziplora", {}, "that needs nothing learned, found 'ziplora', which needs base images"),
        ("merger", "paper", {}, "that needs nothing learned, found 'paper', which needs network"),
        (
            "merger",
            "ties",
            {"densitty": 0.5},
            "among density, weights, .*form, found 'densitty': did you mean 'density'",
        ),
        ("merger", "switch", {"tau": 0.5}, "expected a whole number for option tau of switch, found 0.5"),
        ("pair", "ties", {}, "that is optimised for each pair, found 'ties'"),
        ("pair", "ziplora", {"patienc": 3}, "found 'patienc': did you mean 'patience'"),
        ("pair", "ziplora", {"steps": 0}, "expected steps and images of at least 1"),
        ("pair", "ziplora", {"init": "nowhere.safetensors"}, "file at nowhere.safetensors, found none: check the path"),
        ("trained", TRAIN, {"recipe.step": 1}, "found 'recipe.step': did you mean 'recipe.steps'"),
        ("trained", TRAIN, {"clasifier": None}, "found 'clasifier': did you mean 'classifier'"),
        ("trained", TRAIN, {"otherpair": True}, "did you mean 'other_pair'"),
        ("trained", TRAIN, {"recipe.steps": "many"}, "recipe.steps"),
        (
            "trained",
            "configs/train/none.yaml",
            {},
            "shipped configuration, found no configs/train/none.yaml: `lorarar configs`",
        ),
        ("file", "nowhere.safetensors", {}, "file at nowhere.safetensors, found none: check the path"),
        ("file", str(NETWORK), {"steps": 1}, "expected no setting for a file"),
        ("joint", "", {**RECIPE, "rnk": 2}, "found 'rnk': did you mean 'rank'"),
        (
            "truth",
            "",
            {"steps": 1},
            "for learning_rate, found no value; expected a whole number of at least 1 for images",
        ),
    ],
)
def test_wrong_settings(kind: Any, source: str, stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_settings(kind, source, stated)


@pytest.mark.parametrize(
    ("kind", "source", "stated", "message"),
    [
        ("pair", "words", {}, "expected 'text_guided', found its old name 'words'"),
        ("pair", "ziplora", {"told": True}, "expected true_descriptions, found its old name told: rename it"),
        ("pair", "ziplora", {"start": str(NETWORK)}, "expected init, found its old name start"),
        ("trained", TRAIN, {"weights.fidelity": 1.0}, "expected loss_weights.fidelity, found its old name weights"),
        ("trained", TRAIN, {"weights.described": 1.0}, "expected loss_weights.distillation, found its old name"),
        ("trained", TRAIN, {"loss_weights.described": 1.0}, "expected loss_weights.distillation, found its old name"),
        ("trained", TRAIN, {"imagined": 3}, "expected synthetic_pairs, found its old name imagined"),
        ("trained", TRAIN, {"spread": 0.5}, "expected weight_jitter, found its old name spread"),
        ("trained", TRAIN, {"reader": None}, "expected classifier, found its old name reader"),
        ("trained", TRAIN, {"start": str(NETWORK)}, "expected init, found its old name start"),
        ("trained", TRAIN, {"merger": "invariant"}, "expected merger=layerwise, found its old name merger=invariant"),
    ],
)
def test_old_names_are_refused_with_the_new_name(kind: Any, source: str, stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_settings(kind, source, stated)


def test_rows_of_delta_mergers_say_their_form() -> None:
    forms = [
        read_settings("merger", source, stated).form  # type: ignore[union-attr]
        for source, stated in (("ties", {}), ("ties", {"form": "truncated"}), ("direct", {}))
    ]
    assert forms == ["dense", "truncated", ""]
    for source, form in (("ties", "small"), ("direct", "dense")):
        with pytest.raises(ValueError, match="form"):
            read_settings("merger", source, {"form": form})
