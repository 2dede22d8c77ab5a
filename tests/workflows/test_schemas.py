"""lorarar.workflows.schemas and lorarar.storage.config: every shipped configuration loads; wrong ones are named."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from lorarar.benchmark.gates import GatesConfig
from lorarar.benchmark.quality.config import QualityConfig
from lorarar.diffusion.settings import Sampling
from lorarar.evaluation.metrics.run import MetricsConfig
from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.recipe import MergerRecipe
from lorarar.storage.config import load_config
from lorarar.storage.run_folder import ConfigError, claim_run
from lorarar.training.settings import Recipe
from lorarar.workflows.schemas import TrainConfig, ZooConfig
from lorarar.worlds.toy.judge.recipes import Stage, TinyJudgeConfig
from lorarar.worlds.toy.recipes import Shape, StageRecipe, WorldConfig
from tests import ROOT

CONFIGS = ROOT / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
KINDS = {
    "zoo": ZooConfig,
    "dreambooth": ZooConfig,
    "train": TrainConfig,
    "judge": TinyJudgeConfig,
    "metrics": MetricsConfig,
    "world": WorldConfig,
    "gates": GatesConfig,
}
GOOD = """
base: some/base
manifests: [a.yaml, b.yaml]
images: images
splits: splits.yaml
split: tiny
output: loras
runs: runs
recipe: {rank: 4, alphas: [8], steps: 10, images: 1, learning_rate: 1.0e-3}
"""


def kind_of(path: Path) -> type:
    """The class that a folder stands for; in benchmark/ all but the gates compare mergers."""
    folder = path.relative_to(CONFIGS).parts[0]
    return KINDS.get(path.stem, QualityConfig) if folder == "benchmark" else KINDS[folder]


def test_configurations_are_read_without_torch() -> None:
    """The command line shows names and defaults: loading torch would cost seconds."""
    code = "import sys; import lorarar.workflows.schemas; from lorarar.worlds.toy import WorldConfig; "
    code += "from lorarar.worlds.toy.judge import TinyJudgeConfig; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "False\n"


def documented(kind: type) -> list[str]:
    """The attributes that a class's docstring documents, one line each."""
    lines = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].splitlines()
    return [line.partition(":")[0].strip() for line in lines if line.strip()]


@pytest.mark.parametrize(
    "kind",
    [
        ZooConfig,
        TrainConfig,
        WorldConfig,
        TinyJudgeConfig,
        Recipe,
        Sampling,
        MergerRecipe,
        LossWeights,
        Stage,
        StageRecipe,
        Shape,
    ],
)
def test_every_setting_is_documented_in_one_line(kind: type) -> None:
    assert documented(kind) == [entry.name for entry in fields(kind)]


def test_there_are_configurations() -> None:
    assert len(FILES) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def test_a_shipped_configuration_loads_and_says_how_it_is_run(path: Path) -> None:
    kind = kind_of(path)
    assert isinstance(load_config(kind, path), kind)
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any("lorarar " in line and path.relative_to(CONFIGS.parent).as_posix() in line for line in header)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "zoo.yaml"
    path.write_text(GOOD)
    return path


def test_values_have_the_types_of_the_dataclass(path: Path) -> None:
    config = load_config(ZooConfig, path)
    assert config.manifests == (Path("a.yaml"), Path("b.yaml"))
    assert config.images == Path("images")
    assert config.recipe == Recipe(rank=4, alphas=(8.0,), steps=10, images=1, learning_rate=1e-3)
    assert config.recipe.targets == ("to_q", "to_k", "to_v", "to_out.0")
    assert hash(config.recipe) == hash(Recipe(rank=4, alphas=(8.0,), steps=10, images=1, learning_rate=1e-3))


def test_words_override_the_file(path: Path) -> None:
    config = load_config(ZooConfig, path, ["group=8", "recipe.rank=16", "concept=cat", "manifests=[c.yaml]"])
    assert (config.group, config.recipe.rank, config.concept) == (8, 16, "cat")
    assert config.manifests == (Path("c.yaml"),)
    assert config.recipe.steps == 10


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("recipe.learnin_rate=1", r"learnin_rate.*Did you mean.*learning_rate"),
        ("grup=1", r"grup.*Did you mean.*group"),
        ("recipe.steps=many", r"'many'.*recipe.steps"),
        ("device=tpu", r"tpu.*device"),
        ("group", "expected key=value, found 'group': write group=VALUE"),
    ],
)
def test_a_wrong_word_is_named(path: Path, word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(ZooConfig, path, [word])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("split: tiny\n", "", r"zoo.yaml: expected values for \['split'\], found none: add them"),
        ("steps: 10, ", "", r"expected values for \['recipe.steps'\]"),
        ("split: tiny", "slpit: tiny", r"slpit.*Did you mean.*split"),
        ("rank: 4", "rank: four", r"'four'.*recipe.rank"),
        ("split: tiny", "split: [tiny", "zoo.yaml"),
        (GOOD, "- a\n- b\n", "zoo.yaml"),
        (GOOD, "just words", "zoo.yaml"),
    ],
)
def test_a_wrong_file_is_named(path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_config(ZooConfig, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"configuration at .*none.yaml, found none: see configs/"):
        load_config(ZooConfig, tmp_path / "none.yaml")


def test_a_run_goes_on_with_its_own_configuration_only(tmp_path: Path) -> None:
    recipe = Recipe(rank=2, alphas=(2.0,), steps=3, images=1, learning_rate=0.1)
    claim_run(tmp_path, recipe)
    claim_run(tmp_path, recipe)
    with pytest.raises(ConfigError, match=r"another configuration .*'steps': \(3, 4\)"):
        claim_run(tmp_path, replace(recipe, steps=4))
