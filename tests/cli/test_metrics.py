"""`lorarar metrics CONFIG`, and steps beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.cli.main import main, parser
from tests.evaluation.metrics.toy import FAULTS, write_items, write_references


def test_a_configuration_needs_no_step() -> None:
    for words in (["metrics", "a.yaml", "x=1"], ["metrics", "run", "a.yaml", "x=1"]):
        arguments = parser().parse_args(words)
        assert (arguments.config, arguments.overrides) == (Path("a.yaml"), ["x=1"])
        assert arguments.run.__module__ == "lorarar.cli.metrics"


def test_a_configuration_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["metrics"])
    assert "CONFIG" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser().parse_args(["metrics", "--help"])
    assert "without a step: run CONFIG" in capsys.readouterr().out


def test_it_writes_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_references(tmp_path)
    write_items(tmp_path, FAULTS, seeds=1)
    path = tmp_path / "metrics.yaml"
    words = dict.fromkeys(("content", "style", "gram"), "{name: pixels}")
    words |= {"images": f"{tmp_path}/images", "references": f"{tmp_path}/references/references.yaml"}
    words |= {"output": f"{tmp_path}/out", "cache": f"{tmp_path}/cache"}
    path.write_text('layout: "{method}/{content}+{style}/{seed}-combined.png"\n')
    assert main(["metrics", str(path), *(f"{key}={value}" for key, value in words.items())]) == 0
    assert "27 images scored, 0 refused" in capsys.readouterr().out
    assert (tmp_path / "out" / "metrics.json").is_file()


def test_a_mistake_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", str(tmp_path / "none.yaml")]) == 1
    assert "expected a configuration" in capsys.readouterr().err
