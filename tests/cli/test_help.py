"""lorarar.cli.help: every command's page, without torch, with the default of every option."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.core import TyperArgument

from lorarar.cli.main import commands, main

Output = pytest.CaptureFixture[str]
_HEAVY = "{'torch', 'numpy', 'diffusers', 'transformers'} & set(sys.modules)"


def every_command(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the words and the object of each command and group."""
    yield words, group
    for name, inner in getattr(group, "commands", {}).items():
        yield from every_command(inner, (*words, name))


COMMANDS = dict(every_command(commands()))


def page(words: tuple[str, ...], capsys: Output, monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*words, "--help"]) == 0
    printed, err = capsys.readouterr()
    assert err == ""
    return printed


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_page_is_printed_with_every_option_and_default(
    words: tuple[str, ...], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = page(words, capsys, monkeypatch)
    assert max(map(len, printed.splitlines())) <= 80
    joined = " ".join(printed.split())
    assert f"Usage: {' '.join(('lorarar', *words))}" in joined
    for parameter in COMMANDS[words].params:
        assert parameter.help, parameter.name
        assert parameter.help.endswith("."), parameter.help
        assert parameter.help in joined
        takes_value = isinstance(parameter, TyperArgument) or parameter.metavar
        shown = f"{parameter.help} Required." if parameter.required else f"{parameter.help} Default: "
        assert shown in joined or not takes_value, parameter.name


def test_there_are_commands_with_options() -> None:
    assert len(COMMANDS) > 35
    assert sum(len(command.params) for command in COMMANDS.values()) > 200


def test_defaults_are_shown_as_they_are_typed(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = " ".join(page(("generate",), capsys, monkeypatch, 200).split())
    for text in (
        "as in 0,1,2. Default: 0.",
        "Sampling steps. Default: 50.",
        "--lora FILE LoRA file or hub id; repeatable.",
    ):
        assert text in joined
    assert "Replace existing files. Default" not in " ".join(page(("merge",), capsys, monkeypatch).split())


def test_sections_stand_in_a_reader_s_order(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def titles(*words: str) -> list[str]:
        return re.findall(r"^([A-Z][^:.]*)$", page(words, capsys, monkeypatch, 120), re.MULTILINE)

    assert titles("merge")[-7:] == [
        "Method",
        "Strength",
        "On a base model (for ziplora, ziplora_pytorch, cat, ziprank, nsc, text_guided, ssr)",
        "Output",
        "Compute",
        "Many machines",
        "General",
    ]
    assert titles("generate")[:4] == ["Inputs", "Method", "Strength", "Sampling"]
    assert titles("judge", "plan")[1:4] == ["Images and references", "Questions", "Estimate of the cost"]
    assert titles() == [
        "Merge files",
        "Generate and score images",
        "Train",
        "Organise files",
        "Reproduce",
        "Set up",
        "General",
    ]


def test_the_keys_of_the_configuration_are_listed(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = page(("train",), capsys, monkeypatch, 120)
    keys = printed.partition("Keys of the configuration")[2]
    assert "recipe.steps" in keys
    assert re.search(r"^ +device +", keys, re.MULTILINE)


def test_without_a_command_the_help_is_printed(capsys: Output) -> None:
    for words, text in (([], "Usage: lorarar COMMAND"), (["judge"], "Usage: lorarar judge COMMAND")):
        assert main(words) == 0
        assert text in capsys.readouterr().out


def test_the_version_is_printed(capsys: Output) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"lorarar \d+\.\d+\S*\n", capsys.readouterr().out)


def test_help_and_argument_errors_do_without_torch() -> None:
    lines = [[*words, "--help"] for words in COMMANDS]
    mistakes = ["merg a", "merge a -o x --merger tise", "merge a --rnak 2", "merge a -o x --rank two", "train"]
    code = (
        f"import sys\nfrom lorarar.cli.main import main\nimport lorarar.mergers.optimised\n"
        f"assert [main(words) for words in {lines}] == [0] * {len(lines)}\n"
        f"assert [main(words.split()) for words in {mistakes}] == [2] * {len(mistakes)}\n"
        f"sys.exit(str({_HEAVY}) if {_HEAVY} else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import lorarar.mergers; assert 'text_guided' in lorarar.mergers.MERGERS",
        "from lorarar.mergers import MergeRequest; MergeRequest(merger='ties').check()",
        "from lorarar.mergers.optimised import MergerRecipe, TEXT_GUIDED; TEXT_GUIDED.options()",
    ],
)
def test_the_table_of_mergers_does_without_torch(code: str) -> None:
    command = [sys.executable, "-c", f"import sys\n{code}\nsys.exit(bool({_HEAVY}))"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
