"""Hashes of files and of plain data: equal hashes mean the same piece of work."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()


def digest(data: object) -> str:
    """Return the SHA-256 of plain data as 64 hexadecimal digits.

    Args:
        data: Values that JSON holds. Keys are sorted first; other values, such as a path, count as their text.
    """
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()
