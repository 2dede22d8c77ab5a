"""Text files, written in one step: text, JSON, JSON lines, CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from lorarar.storage.atomic import atomic_write

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_text(path: Path, text: str) -> None:
    """Replace a file's text in one step, so that it is never read half written.

    Args:
        path: The file; its folder must exist.
        text: The whole new content, written in UTF-8.

    Raises:
        FormatError: The system refuses.
    """
    with atomic_write(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, data: object, *, indent: int | None = 1, sort_keys: bool = False) -> None:
    """Replace a file by data as JSON, see `plain` for values that JSON has no type for.

    Args:
        path: The file; its folder must exist.
        data: Plain data, dataclasses included; other values, such as paths, are written as text.
        indent: Spaces a level; None writes one line.
        sort_keys: Whether equal data in another order give equal bytes.

    Raises:
        FormatError: The system refuses.
    """
    text = json.dumps(plain(data), indent=indent, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False, default=str)
    write_text(path, text + "\n")


def json_line(entry: Mapping[str, Any]) -> str:
    """Return an object as one line of JSON; equal content gives equal text."""
    return json.dumps(entry, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(", ", ": ")) + "\n"


def write_lines(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Replace a file by JSON lines in one step.

    Args:
        path: The file; its folder must exist.
        entries: Plain data, one line each, with sorted keys.

    Raises:
        FormatError: The system refuses.
    """
    write_text(path, "".join(map(json_line, entries)))


def write_csv(path: Path, rows: Iterable[Sequence[str | int | float | None]]) -> None:
    """Replace a file by rows of CSV in one step.

    Args:
        path: The file; its folder must exist.
        rows: Cells. Text that a spreadsheet would take for a formula gets an apostrophe in front.

    Raises:
        FormatError: The system refuses.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([_harmless(cell) for cell in row])
    write_text(path, text.getvalue())


def printable(text: str) -> str:
    """Return a line that a terminal shows as it is: control characters, line ends too, become escapes.

    Text from a file's header or from its keys can hold sequences that clear the screen or hide what follows.

    >>> printable("cat \x1b[31mRED")
    'cat \\x1b[31mRED'
    """
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else repr(letter)[1:-1]
        for letter in text
    )


def _harmless(cell: str | int | float | None) -> str | int | float | None:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def plain(value: Any) -> Any:
    """Return a value in the types of JSON: dataclasses become objects, tuples lists, non-finite numbers null."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
