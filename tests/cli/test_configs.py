"""lorarar configs: list, copy, check; the help of a configured command lists its keys, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lorarar.cli.configurations import configured_commands, fitting_command
from lorarar.cli.main import main
from lorarar.storage.config import read_config
from lorarar.storage.config_files import ShippedConfig, list_configs
from lorarar.storage.schema_keys import config_keys
from tests import ROOT


def commands_of(config: ShippedConfig) -> list[str]:
    """The commands that the header of a shipped configuration names: "world concepts|base" names two."""
    first, *others = config.command.split("|")
    return [first, *(f"{first.rpartition(' ')[0]} {other}" for other in others)]


@pytest.mark.parametrize("config", list_configs(), ids=lambda config: config.name)
def test_the_command_of_a_shipped_configuration_takes_it(config: ShippedConfig) -> None:
    schemas = configured_commands()
    fitting = schemas[fitting_command(read_config(config.path))]()
    assert {schemas[name]() for name in commands_of(config)} == {fitting}


def test_configs_alone_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs"]) == 0
    alone = capsys.readouterr().out
    assert main(["configs", "list"]) == 0
    assert capsys.readouterr().out == alone
    assert "lorarar benchmark gates\n" in alone
    assert [config.name for config in list_configs() if f"\n  {config.name} " not in alone] == []


def test_copy_then_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["configs", "copy", "train/sdxl"]) == 0
    assert capsys.readouterr().out == "train_sdxl.yaml: a configuration of `lorarar train`\n"
    assert main(["configs", "check", "train_sdxl.yaml"]) == 0
    first, *missing, last = capsys.readouterr().out.splitlines()
    assert first == "train_sdxl.yaml: a configuration of `lorarar train`"
    assert [line.partition(" at ")[0] for line in missing] == [
        *["  not there yet: expected an existing path for manifests"] * 2,
        "  not there yet: expected an existing path for images",
        "  not there yet: expected an existing path for splits",
        "  not there yet: expected an existing path for loras",
    ]
    assert last == "no mistakes, 5 inputs that are not there yet"


def test_check_shows_every_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["grup=2", "configs/zoo/embedded.yaml", "recipe.rank=0", "precision=bf16-mixed"]
    assert main(["configs", "check", *words]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "configs/zoo/embedded.yaml: a configuration of `lorarar zoo`",
        "  mistake: expected a whole number of at least 1 for recipe.rank, found 0",
        "  mistake: expected a key of the configuration, found 'grup': did you mean 'group'?",
        "  mistake: expected dtype=bf16, found its old name precision=bf16-mixed: rename it",
        "3 mistakes",
    ]


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("recipe.preset=full", "expected an algorithm for convolutions with recipe.preset=full, found lora"),
        ("recipe.rank=90", "recipe.rank=90 is above the 80 x 80 weight of down_blocks.0"),
    ],
)
def test_check_names_contradictions_of_a_recipe(change: str, mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "check", "zoo/embedded", change]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert mistake in lines[1]
    assert lines[2] == "1 mistakes"


def test_check_may_be_told_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "check", "zoo/embedded", "--command", "train"]) == 1
    assert "a configuration of `lorarar train`" in capsys.readouterr().out
    assert main(["configs", "check", "zoo/embedded", "--command", "trian"]) == 2
    assert "did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", configured_commands())
def test_the_help_lists_every_key(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines[lines.index("Keys of the configuration") :] if line.startswith("  ")]
    assert [key.name for key in config_keys(configured_commands()[name]()) if key.name not in listed] == []


def test_the_help_of_a_configured_command_needs_no_torch() -> None:
    code = "import sys; from lorarar.cli.main import main; from lorarar.cli.configurations import configured_commands; "
    code += "codes = [main([*name.split(), '--help']) for name in configured_commands()]; "
    code += "print(set(codes), [name for name in ('torch', 'transformers', 'PIL') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.splitlines()[-1] == "{0} []"
