"""Text files of a judging run, written in one step."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorarar.writing import atomic_write

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_text(path: Path, text: str) -> None:
    """Replaces a file's text at once: a reader never sees half of it.

    Raises:
        FormatError: the system refuses.
    """
    with atomic_write(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def line(entry: Mapping[str, Any]) -> str:
    """An object as one line of JSON, the same text for the same content."""
    return json.dumps(entry, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(", ", ": ")) + "\n"


def write_lines(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines at once, see `write_text`."""
    write_text(path, "".join(map(line, entries)))


def write_csv(path: Path, rows: Iterable[Sequence[str | int | float | None]]) -> None:
    """Writes rows at once; text that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[f"'{v}" if isinstance(v, str) and v.startswith(_FORMULA) else v for v in row] for row in rows])
    write_text(path, text.getvalue())
