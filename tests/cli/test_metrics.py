"""The command `lorarar metrics CONFIG`."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.cli.main import main
from tests.evaluation.metrics.toy import FAULTS, write_items, write_references


def test_it_writes_results_and_prints_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_references(tmp_path)
    write_items(tmp_path, FAULTS, seeds=1)
    path = tmp_path / "metrics.yaml"
    settings = dict.fromkeys(("content", "style", "gram"), "{name: pixels}")
    settings |= {"images": f"{tmp_path}/images", "references": f"{tmp_path}/references/references.yaml"}
    settings |= {"output": f"{tmp_path}/out", "cache": f"{tmp_path}/cache"}
    path.write_text('layout: "{method}/{content}+{style}/{seed}-combined.png"\n')
    assert main(["metrics", str(path), *(f"{key}={value}" for key, value in settings.items())]) == 0
    assert "27 images scored, 0 refused" in capsys.readouterr().out
    assert (tmp_path / "out" / "metrics.json").is_file()


def test_a_mistake_ends_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", str(tmp_path / "none.yaml")]) == 1
    assert "found no " in capsys.readouterr().err
