"""lorarar.storage.suggestions: the nearest known name."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.storage.suggestions import nearest_path, unknown_name


def test_the_nearest_name_is_suggested() -> None:
    message = "expected a merger among direct, ties, found 'tise': did you mean 'ties'?"
    assert unknown_name("a merger", "tise", ["direct", "ties"]) == message


def test_nothing_near_is_no_suggestion() -> None:
    assert unknown_name("a merger", "xyz", ["direct"]) == "expected a merger among direct, found 'xyz'"
    assert unknown_name("options of direct", "mu", []) == "expected options of direct among none, found 'mu'"


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("contnet.safetensors", "content.safetensors"),
        ("content.safetensor", "content.safetensors"),
        ("flder/cat.yaml", "folder/cat.yaml"),
        ("folder/catt.yaml", "folder/cat.yaml"),
        ("style.safetensors", None),
        ("flder/dog.yaml", None),
        ("nowhere/at/all", None),
        ("content.safetensors/x", None),
    ],
)
def test_the_nearest_path(path: str, near: str | None, tmp_path: Path) -> None:
    (tmp_path / "content.safetensors").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "cat.yaml").touch()
    assert nearest_path(tmp_path / path) == (near and tmp_path / near)


def test_the_nearest_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "content.yaml").touch()
    assert nearest_path("contnet.yaml") == Path("content.yaml")
