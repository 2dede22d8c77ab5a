"""lorarar.cli.help: every command's help, without torch, with the default of every option."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lorarar.cli.help import DefaultsFormatter, Parser
from lorarar.cli.main import main, parser

_HEAVY = "bool({'torch', 'numpy', 'diffusers', 'transformers'} & set(sys.modules))"


def commands(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and all parsers of its sub-commands."""
    yield top
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command)


def options(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options of a command that take a value and may be left out."""
    needed = [a for group in command._mutually_exclusive_groups if group.required for a in group._group_actions]
    for action in command._actions:
        if action.option_strings and action.nargs != 0 and not action.required and action not in needed:
            yield action


COMMANDS = list(commands(parser()))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.prog)
def test_every_option_shows_its_default(command: argparse.ArgumentParser) -> None:
    formatter = DefaultsFormatter(command.prog)
    for action in options(command):
        assert "; default: " in f"; {formatter._expand_help(action)}", action.option_strings
    assert all(action.help for action in command._actions if not isinstance(action, argparse._SubParsersAction))


def test_there_are_commands_with_options() -> None:
    assert len(COMMANDS) > 20
    assert sum(len(list(options(command))) for command in COMMANDS) > 50


def test_defaults_are_shown_as_they_are_typed() -> None:
    command = Parser("x")
    command.add_argument("--count", type=int, default=0, help="count")
    command.add_argument("--seeds", nargs="+", default=[1, 2], help="seeds")
    command.add_argument("--name", default="100%", help="name")
    command.add_argument("--file", help="file; default: none")
    command.add_argument("--force", action="store_true", help="replace files")
    text = " ".join(command.format_help().split())
    for part in (
        "count; default: 0",
        "seeds; default: 1 2",
        "name; default: 100%",
        "file; default: none",
        "replace files",
    ):
        assert part in text
    assert text.count("default:") == 4


def test_help_of_merge_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["merge", "--help"])
    assert caught.value.code == 0
    assert "--hypernetwork NETWORK" in capsys.readouterr().out


@pytest.mark.parametrize(
    "code",
    [
        "import lorarar.cli.main; lorarar.cli.main.parser()",
        "import lorarar.mergers; assert 'text_guided' in lorarar.mergers.CATALOGUE",
        "from lorarar.mergers import CATALOGUE, MergeRequest; MergeRequest(merger='ties').check()",
        "from lorarar.mergers.optimised import MergerRecipe, TEXT_GUIDED; TEXT_GUIDED.options()",
        "import lorarar.cli.main as m\ntry: m.main(['merge', '--help'])\nexcept SystemExit as e: assert e.code == 0",
    ],
)
def test_parsers_and_the_catalogue_do_without_torch(code: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nsys.exit({_HEAVY})"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
