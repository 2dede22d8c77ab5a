"""Results are kept with their choices, and damaged lines do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.studio.choices import Choices
from lorarar.studio.history import Result, add_result, free_name, new_result, read_results


def result(file: Path, **more: object) -> Result:
    summary = {
        "files": [str(file)],
        "method": {"name": "direct"},
        "inputs": [{"file": "a.safetensors", "sha256": "0" * 64}],
        "truncation": {"error": 0.01},
    }
    return new_result(["a.safetensors"], Choices(name=file.stem, weights=(1.0, 0.5)), "lorarar merge", summary)


def test_results_come_back_the_newest_first_while_their_files_are_there(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in ("one", "two", "gone")]
    for file in files:
        file.write_bytes(b"12345")
        add_result(tmp_path, result(file))
    with open(tmp_path / "results.jsonl", "a", encoding="utf-8") as history:
        history.write('{"file": "half a li\n[]\n')
    files[2].unlink()
    found = read_results(tmp_path)
    assert [entry.name for entry in found] == ["two", "one"]
    assert found[1] == result(files[0]) or found[1].choices == Choices(name="one", weights=(1.0, 0.5))
    assert (found[0].bytes, found[0].error, found[0].sources) == (5, 0.01, (("a.safetensors", "0" * 64),))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cat in ink", "cat in ink"),
        ("../../etc/passwd", "-..-etc-passwd"),
        ("<b>", "-b-"),
        ("  ", "merged"),
        ("merged.safetensors", "merged-2"),
    ],
)
def test_a_name_is_free_and_stays_in_the_folder(tmp_path: Path, name: str, file: str) -> None:
    (tmp_path / "merged.safetensors").touch()
    path = free_name(tmp_path, name)
    if name.strip():
        assert path == tmp_path / f"{file}.safetensors"
    assert path.parent == tmp_path
    assert not path.exists()
