"""Hashes of files and of plain data: they tell whether two pieces of work are the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()


def digest(data: object) -> str:
    """Return the SHA-256 of plain data as 64 hexadecimal digits.

    Args:
        data: Whatever JSON holds. Keys are sorted first; anything else, such as a path, counts as its text.
    """
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()
