"""lorarar.datasets.concept_files: files and entries that are accepted or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lorarar.datasets.concept_files import entry_folder, read_entries, read_split_tables


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def test_entries_and_split_tables_of_one_file(tmp_path: Path) -> None:
    entries = [{"name": "cat", "kind": "content", "folder": "cats"}, {"name": "ink", "kind": "style"}]
    splits = {"mine": {"train": {"contents": ["cat"], "styles": ["ink"]}}}
    path = write(tmp_path / "x.yaml", {"concepts": entries, "splits": splits})
    assert read_entries(path) == entries
    assert [entry_folder(entry) for entry in read_entries(path)] == ["cats", "ink"]
    assert read_split_tables(path) == splits


def test_a_file_without_splits_has_no_tables(tmp_path: Path) -> None:
    assert read_split_tables(write(tmp_path / "x.yaml", {"concepts": []})) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["a"], "expected a list `concepts`, found list without one"),
        ({"splits": {}}, "expected a list `concepts`, found dict without one"),
        ({"concepts": ["a"]}, "expected concepts with a name, found 'a'"),
        ({"concepts": [{"kind": "style"}]}, "expected concepts with a name"),
        ({"concepts": [{"name": "a", "kind": "pair"}]}, "'a' to be of kind content or style, found 'pair'"),
        ({"concepts": [{"name": "a"}]}, "'a' to be of kind content or style, found None"),
    ],
)
def test_files_that_are_refused(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_entries(write(tmp_path / "x.yaml", content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_entries, read_split_tables):
        with pytest.raises(FileNotFoundError, match=r"expected a concept file at .*nowhere\.yaml, found nothing there"):
            read(tmp_path / "nowhere.yaml")
