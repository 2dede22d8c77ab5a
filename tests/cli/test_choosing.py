"""lorarar.cli.choosing: the command mergers; recommend and preview are tested in tests/workflows."""

from __future__ import annotations

import json

import pytest

from lorarar.cli.main import main
from lorarar.mergers.table import DEFAULT, MERGERS

Output = pytest.CaptureFixture[str]


def test_mergers_are_listed_within_the_width_of_the_terminal(capsys: Output, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["mergers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert sorted(names) == sorted(MERGERS)
    assert names[0] == DEFAULT
    assert "network (constant, paper, layerwise) is --network NETWORK" in " ".join(" ".join(lines).split())
    row = next(line for line in lines if line.startswith("  ties "))
    assert row.split()[-3:] == ["nothing", "any", "dense"]
    assert [line.strip() for line in lines if line and line[0].isalpha()][:4] == [
        "Default",
        "Scale each LoRA",
        "Mix the entries",
        "Act while sampling",
    ]


def test_mergers_as_json(capsys: Output) -> None:
    assert main(["mergers", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(MERGERS)
    assert rows["ties"] | {"citation": "", "does": ""} == {
        "name": "ties",
        "does": "",
        "kind": "delta",
        "loras": None,
        "needs": None,
        "leaves": "dense",
        "options": {"density": 0.5},
        "citation": "",
    }
    assert rows["klora"]["loras"] == 2
    assert main(["mergers", "ties", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows["ties"]


def test_one_merger_in_full(capsys: Output) -> None:
    assert main(["mergers", "ziplora"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "dW_m = dW_c diag(m_c) + dW_s diag(m_s)",
        "needs base, images",
        "ZipLoRA, arXiv 2311.13600",
        "learning_rate learning rate of the optimisation. Default: 0.01.",
        "--merger ziplora --base BASE --content-images DIR",
    ):
        assert part in text
    assert main(["mergers", "tiess"]) == 2
    assert "did you mean 'ties'" in capsys.readouterr().err
