"""lorarar.workflows.schemas and lorarar.storage.config: every shipped configuration loads; wrong ones are named."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.analogies.recipes import AnalogyConfig
from lorarar.benchmark.analogies.settings import AnswersConfig
from lorarar.benchmark.gate_settings import GatesConfig
from lorarar.benchmark.quality.config import QualityConfig
from lorarar.evaluation.metrics.settings import MetricsConfig
from lorarar.storage.config import load_config
from lorarar.storage.config_check import check_inputs, missing_inputs
from lorarar.storage.plugins import load_plugin, scoped_plugins
from lorarar.storage.run_folder import ConfigError, claim_run
from lorarar.storage.schema_keys import ConfigKey, config_keys
from lorarar.training.settings import Recipe
from lorarar.workflows.schemas import TrainConfig, ZooConfig
from lorarar.worlds.art.recipes import AtlasConfig
from lorarar.worlds.stages.recipes import EditorConfig, WorldConfig
from lorarar.worlds.toy.judge.recipes import DescriberConfig, TinyJudgeConfig
from tests import ROOT

CONFIGS = ROOT / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
KINDS = {
    "zoo": ZooConfig,
    "dreambooth": ZooConfig,
    "train": TrainConfig,
    "judge": TinyJudgeConfig,
    "describer": DescriberConfig,
    "metrics": MetricsConfig,
    "world": WorldConfig,
    "drawings": AtlasConfig,
    "analogies": AnalogyConfig,
    **dict.fromkeys(("base", "base_transformer"), EditorConfig),
    **dict.fromkeys(("evaluate", "evaluate_ablations", "evaluate_transformer"), AnswersConfig),
    "gates": GatesConfig,
    "gates_art": GatesConfig,
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
    """The class that a file or else its folder stands for; in benchmark/ all but the gates compare mergers."""
    folder = path.relative_to(CONFIGS).parts[0]
    alone = {"benchmark": ("gates", "gates_art"), "world": ("drawings",), "judge": ("describer",)}
    alone |= {"analogies": tuple(KINDS)}
    kind = path.stem if path.stem in alone.get(folder, ()) else folder
    return KINDS.get(kind, QualityConfig)


def test_configurations_are_read_without_torch() -> None:
    """The command line shows names and defaults: loading torch would cost seconds."""
    code = "import sys; from lorarar.workflows import TrainConfig; from lorarar.worlds.stages import WorldConfig; "
    code += "from lorarar.worlds.toy.judge import TinyJudgeConfig; from lorarar.benchmark import GatesConfig; "
    code += "from lorarar.evaluation.metrics import MetricsConfig; from lorarar.storage import config_keys; "
    code += "config_keys(TrainConfig); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "False\n"


@pytest.mark.parametrize("kind", sorted(set(KINDS.values()) | {QualityConfig}, key=lambda kind: kind.__name__))
def test_every_key_is_documented(kind: type) -> None:
    keys = config_keys(kind)
    assert len(keys) > 1
    assert [key.name for key in keys if len(key.text) < 5 or "value" in key.type.split()] == []


def test_keys_say_type_default_and_meaning() -> None:
    keys = {key.name: key for key in config_keys(TrainConfig)}
    base = "Folder or hub id of the base model."
    assert keys["base"] == ConfigKey("base", "model", "required", base)
    assert (keys["recipe"].type, keys["recipe"].default) == ("mapping", "required")
    assert (keys["recipe.steps"].type, keys["recipe.steps"].default) == ("whole number of at least 1", "required")
    assert (keys["sampling"].default, keys["sampling.steps"].default) == ("as below", "15")
    assert (keys["classifier"].type, keys["classifier"].default) == ("existing path or null", "null")
    assert (keys["device"].type, keys["device"].default) == ("one of auto, cpu, cuda, mps", "auto")
    assert (keys["dtype"].type, keys["dtype"].default) == ("one of fp32, bf16, fp16", "fp32")
    assert keys["loss_weights.strengths"].type == "list of 2 numbers"
    rows = {key.name: key for key in config_keys(QualityConfig)}
    assert (rows["methods"].type, rows["methods[].name"].type) == ("list of mappings", "text")
    assert rows["methods[].tried"].text.endswith("Every tuned row has `QualityConfig.budget` of them.")
    nested = {key.name: key for key in config_keys(WorldConfig)}
    assert (nested["classifier.steps"].default, nested["base.shape.widths"].default) == ("required", "[80, 144]")


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
        ("recipe.learnin_rate=1", "found 'recipe.learnin_rate': did you mean 'recipe.learning_rate'?"),
        ("grup=1", "expected a key of the configuration, found 'grup': did you mean 'group'?"),
        ("recipe.steps=many", "expected a whole number of at least 1 for recipe.steps, found 'many': correct"),
        ("recipe.steps=0", "expected a whole number of at least 1 for recipe.steps, found 0"),
        ("recipe.alphas=[1, -1]", "expected a number above 0 for recipe.alphas, found -1"),
        ("device=tpu", "expected one of auto, cpu, cuda, mps for device, found 'tpu'"),
        ("manifests=a.yaml", "expected a list of existing paths for manifests, found 'a.yaml'"),
        ("split=a: b", "expected text for split, found {'a': 'b'}"),
        ("recipe=null", "expected a mapping for recipe, found null"),
        ("colour=1", "expected a key of the configuration, found 'colour': the command's --help lists the keys"),
        ("group", "expected key=value, found 'group': write group=VALUE"),
        ("=3", "expected key=value, found '=3': write KEY=VALUE"),
        ("split=@x", "expected a YAML value for split, found '@x': quote text"),
        ("split=${none}", "expected the name of a key in ${..}"),
    ],
)
def test_a_wrong_word_is_named(path: Path, word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(ZooConfig, path, [word])


def test_all_mistakes_are_named_at_once(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(ZooConfig, path, ["group=x", "outptu=y", "recipe.rank=0"])
    assert str(caught.value) == (
        f"{path}: 3 mistakes: (1) expected a whole number of at least 1 for recipe.rank, found 0; (2) expected a whole "
        "number of at least 1 for group, found 'x'; (3) expected a key of the configuration, found 'outptu': did you "
        "mean 'output'?"
    )


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("split=two words", "two words"),
        ('split="a: b"', "a: b"),
        ("split='it''s'", "it's"),
        ("split=x=y", "x=y"),
        ("split=http://host:80/x", "http://host:80/x"),
    ],
)
def test_the_value_of_a_word_is_yaml(path: Path, word: str, split: str) -> None:
    assert load_config(ZooConfig, path, [word]).split == split


def test_a_list_may_be_json(path: Path) -> None:
    config = load_config(ZooConfig, path, ['manifests=["two words.yaml", "b.yaml"]', "recipe.lengths=[0.5,1]"])
    assert config.manifests == (Path("two words.yaml"), Path("b.yaml"))
    assert config.recipe.lengths == (0.5, 1.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("split: tiny\n", "", "zoo.yaml: expected text for split, found no value: correct the file, or give key=value"),
        ("split: tiny\n", "split: ???\n", "zoo.yaml: expected text for split, found no value"),
        ("steps: 10, ", "", "expected a whole number of at least 1 for recipe.steps, found no value"),
        ("split: tiny", "slpit: tiny", r"2 mistakes: .*'slpit': did you mean 'split'\?; .* for split, found no value"),
        ("rank: 4", "rank: four", "for recipe.rank, found 'four'"),
        ("split: tiny", "split: [tiny", r"zoo.yaml: expected a YAML file, found in line 7: .*: correct the line"),
        (GOOD, "- a\n- b\n", "zoo.yaml: expected keys with values, found a list or text"),
        (GOOD, "just words", "zoo.yaml: expected keys with values, found a list or text"),
    ],
)
def test_a_wrong_file_is_named(path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_config(ZooConfig, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a YAML file or the name .*, found no .*none.yaml: `lorarar configs` lists"):
        load_config(ZooConfig, tmp_path / "none.yaml")
    (tmp_path / "zoo.yaml").touch()
    with pytest.raises(ConfigError, match=r"found no .*/zo.yaml: did you mean .*/zoo.yaml\?"):
        load_config(ZooConfig, tmp_path / "zo.yaml")
    with pytest.raises(ConfigError, match="found the folder .*: name a file in it"):
        load_config(ZooConfig, tmp_path)


def test_a_shipped_configuration_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(ZooConfig, "zoo/embedded").split == "embedded"
    with pytest.raises(ConfigError, match=r"found no zoo/embeded: did you mean zoo/embedded\?"):
        load_config(ZooConfig, "zoo/embeded")
    with pytest.raises(ConfigError, match=r"found no configs/zoo/embedded.yaml: did you mean zoo/embedded\?"):
        load_config(ZooConfig, "configs/zoo/embedded.yaml")


def test_other_data_are_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\x10\x00\xff\xfe")
    with pytest.raises(ConfigError, match="expected a YAML file, found other data: give the configuration"):
        load_config(ZooConfig, tmp_path / "x.safetensors")


def test_inputs_that_do_not_exist_are_named(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").touch()
    (tmp_path / "imagse").mkdir()
    config = load_config(ZooConfig, path, ["base=data/embedded/base", "splits=a.yaml"])
    missing = list(map(str, missing_inputs(config)))
    assert [message.partition(", found nothing there: ")[0] for message in missing] == [
        "expected a model for base at data/embedded/base",
        "expected an existing path for manifests at b.yaml",
        "expected an existing path for images at images",
    ]
    assert [message.partition("there: ")[2] for message in missing] == [
        f"run the command in {ROOT}, or give the whole path",
        "check the path",
        "did you mean imagse?",
    ]
    with pytest.raises(
        FileNotFoundError, match=r"^expected base at \S+, manifests at b.yaml, found nothing there: run"
    ):
        check_inputs(config, ["images"])


def test_a_run_goes_on_with_its_own_configuration_only(tmp_path: Path) -> None:
    recipe = Recipe(rank=2, alphas=(2.0,), steps=3, images=1, learning_rate=0.1)
    claim_run(tmp_path, recipe)
    claim_run(tmp_path, recipe)
    with pytest.raises(ConfigError, match="another configuration: steps: 3 there, 4 here"):
        claim_run(tmp_path, replace(recipe, steps=4))


def test_the_merger_may_be_a_kind_of_a_plugin(tmp_path: Path) -> None:
    config = ROOT / "configs" / "train" / "embedded.yaml"
    message = "a kind of learned merger for merger among constant, paper, layerwise, found 'gat'"
    with pytest.raises(ValueError, match=message):
        load_config(TrainConfig, config, ["merger=gat"])
    plugin = tmp_path / "gates.py"
    plugin.write_text(
        "from lorarar.hypernetwork import NetworkKind\nNETWORKS = [NetworkKind('gate', 'you', lambda: None)]\n"
    )
    with scoped_plugins():
        load_plugin(plugin)
        assert load_config(TrainConfig, config, ["merger=gate"]).merger == "gate"
        with pytest.raises(ValueError, match="layerwise, gate, found 'gat': did you mean 'gate'"):
            load_config(TrainConfig, config, ["merger=gat"])
