"""Concept files: the YAML that lists concepts and splits, read and checked in one place.

A file holds a list ``concepts``, tables ``splits``, or both; README.md in data/ describes the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lorarar.datasets.records import AXES
from lorarar.storage import missing_path

Entry = Mapping[str, Any]
SplitTable = Mapping[str, Mapping[str, list[str]]]  # split -> "contents" or "styles" -> names


def read_entries(path: Path) -> list[Entry]:
    """Read the entries of the list ``concepts``; each has a name and a kind, "content" or "style".

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: There is no list ``concepts``, or an entry has no name or no valid kind.
    """
    content = _read_yaml(path)
    entries = content.get("concepts") if isinstance(content, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list `concepts`, found {type(content).__name__} without one")
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise ValueError(f"{path}: expected concepts with a name, found {entry!r:.80}")
        if entry.get("kind") not in AXES:
            raise ValueError(
                f"{path}: expected {entry['name']!r} to be of kind content or style, found {entry.get('kind')!r}"
            )
    return entries


def read_split_tables(path: Path) -> Mapping[str, SplitTable]:
    """Read the tables ``splits`` by name; empty where the file has none.

    Raises:
        FileNotFoundError: The file does not exist.
    """
    content = _read_yaml(path)
    tables: Mapping[str, SplitTable] = (content.get("splits") if isinstance(content, Mapping) else None) or {}
    return tables


def entry_folder(entry: Entry) -> str:
    """Return the folder of an entry's images, relative to the images' root: ``folder``, or else the name."""
    return str(entry.get("folder", entry["name"]))


def _read_yaml(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(missing_path("a concept file", path))
    return yaml.safe_load(path.read_text(encoding="utf-8"))
