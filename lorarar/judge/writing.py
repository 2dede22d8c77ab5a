"""Text files of a judging run, written in one step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Replaces a file's text at once: a reader never sees half of it.

    Raises:
        FormatError: the system refuses.
    """
    from lorarar.formats.files import atomic_write  # here: it takes torch along, which asking does not need

    with atomic_write(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def line(entry: Mapping[str, Any]) -> str:
    """An object as one line of JSON, the same text for the same content."""
    return json.dumps(entry, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(", ", ": ")) + "\n"


def write_lines(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines at once, see `write_text`."""
    write_text(path, "".join(map(line, entries)))
