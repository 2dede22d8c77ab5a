"""The commands `lorarar manifest` and `lorarar data check`: a folder of images becomes a manifest that is sound."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lorarar.cli.main import main
from lorarar.datasets.splits import load_splits


def test_a_folder_becomes_a_manifest_that_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("dog", "cat")):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4), (100 * number, 0, 0)).save(tmp_path / name / "0.png")
    manifest = tmp_path / "concepts.yaml"
    assert main(["manifest", str(tmp_path), "--shares", "0.5,0.5", "--split", "all"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{manifest}\n"
    assert captured.err == f"next: lorarar data check {manifest} --images {tmp_path}\n"
    assert [len(part.contents) for part in load_splits(manifest, "all").values()] == [1, 1]
    assert main(["data", "check", str(manifest)]) == 0
    assert capsys.readouterr().out == "2 concepts, 2 images: no faults\n"
    Image.new("RGB", (4, 4)).save(tmp_path / "cat" / "1.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "dog" / "0.png")
    assert main(["data", "check", str(manifest)]) == 1
    assert capsys.readouterr().out.startswith("leaking: one image is in ")
    assert main(["manifest", str(tmp_path)]) == 1
    assert "concepts.yaml" in capsys.readouterr().err
    assert main(["manifest", str(tmp_path), "--kind", "person"]) == 2
    assert "expected a kind" in capsys.readouterr().err
