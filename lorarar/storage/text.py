"""Text files, written in one step: text, JSON, JSON lines, CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from lorarar.storage.atomic import atomic_write

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_text(path: Path, text: str) -> None:
    """Replaces a file's text at once: a reader never sees half of it.

    Raises:
        FormatError: the system refuses.
    """
    with atomic_write(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, data: object, *, indent: int | None = 1, sort_keys: bool = False) -> None:
    """Replace a file by data as JSON, see `plain` for what JSON does not know.

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


def plain(value: Any) -> Any:
    """Dataclasses, tuples and numbers that are not finite as what JSON has: objects, lists and null."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
