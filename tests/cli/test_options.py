"""lorarar.cli.options: arguments that several commands share."""

from __future__ import annotations

import pytest

from lorarar.cli.help import Parser
from lorarar.cli.options import add_file_format, add_merger_option, add_truncation, assignment, merger_options


def test_merger_options_are_numbers_by_name() -> None:
    command = Parser()
    add_merger_option(command)
    assert merger_options(command.parse_args([])) == {}
    assert merger_options(command.parse_args(["--option", "density=0.3", "--option", "seed=1"])) == {
        "density": 0.3,
        "seed": 1.0,
    }
    with pytest.raises(ValueError, match="expected NAME=VALUE, found 'density': put a = between"):
        merger_options(command.parse_args(["--option", "density"]))


def test_an_assignment_is_split_at_its_first_sign() -> None:
    assert assignment("style=a=b") == ("style", "a=b")
    assert assignment("style=") == ("style", "")


def test_a_rank_and_an_energy_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    command = Parser()
    add_truncation(command)
    assert command.parse_args(["--energy", "0.5"]).rank is None
    with pytest.raises(SystemExit):
        command.parse_args(["--rank", "2", "--energy", "0.5"])
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_file_is_written_in_half_precision_by_default() -> None:
    command = Parser()
    add_file_format(command)
    arguments = command.parse_args([])
    assert (arguments.format, arguments.dtype) == (None, "fp16")
