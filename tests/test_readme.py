"""The README: its commands are ones that the program knows, its files exist."""

from __future__ import annotations

import doctest
import json
import re
import shlex
from pathlib import Path

import pytest

from lorarar.cli.main import parser

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if "lorarar " in line.split("#")[0]]


@pytest.mark.parametrize("line", commands())
def test_a_command_is_understood_and_its_files_exist(line: str) -> None:
    words = shlex.split(line, comments=True)
    arguments = parser().parse_args(words[1:])
    assert callable(arguments.run)
    for word in words:
        if word.startswith(("configs/", "data/")):
            assert (ROOT / word).exists(), word


def test_the_check_can_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(commands()) >= 6
    with pytest.raises(SystemExit):
        parser().parse_args(["merg", "a", "b"])
    assert "invalid choice" in capsys.readouterr().err


def test_the_python_example_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert found.attempted >= 8
    assert found.failed == 0
    assert (tmp_path / "runs" / "merged.safetensors").is_file()


def test_links_lead_somewhere() -> None:
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in t]
    assert len(targets) >= 5
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_numbers_of_the_main_table_are_those_of_the_experiment() -> None:
    methods = json.loads((ROOT / "experiments/main/results.json").read_text(encoding="utf-8"))["methods"]
    rows = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("| ") and line.count("|") == 9]
    found = {re.sub(r" \(\..*\)$", "", cells[0].strip()).strip("*"): [cell.strip() for cell in cells] for cells in rows}
    for name, row in methods.items():
        cells, joint = found[name], row["joint"]
        assert cells[1:3] == [f"{row['content']['mean']:.3f}", f"{row['style']['mean']:.3f}"], name
        assert cells[3] == f"{joint['mean']:.3f} [{joint['low']:.3f}, {joint['high']:.3f}]", name
        assert cells[4] == f"{row['strict']['mean']:.3f}", name
