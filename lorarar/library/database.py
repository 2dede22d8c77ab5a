"""Database: the SQLite file that holds entries, files, fingerprints and thumbnails.

Writing happens in transactions in WAL mode, so several processes may add at once, and a process that is killed leaves
whole batches. A fingerprint is a row of its own table: its entry's number, and float32 numbers or bits as a BLOB.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lorarar.library.entries import Entry, Filter
from lorarar.library.fingerprints import VERSION, Array
from lorarar.library.settings import BASE_FINGERPRINTS, FINGERPRINTS
from lorarar.storage import FormatError, did_you_mean

CHUNK = 1 << 24  # bytes of fingerprints in memory at once while searching
_BUSY_SECONDS = 60.0
_PAGE_BYTES = 1 << 14  # holds seven directions; those of 4 KiB would hold one
_MAPPED_BYTES = 1 << 34
_BITS = ("direction",)  # fingerprints of packed bits; the others are float32
TABLES = (*FINGERPRINTS, *BASE_FINGERPRINTS)
_OF_ENTRY = "entry INTEGER PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE"
_SCHEMA = (
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # AUTOINCREMENT: the number of a removed entry is never given again.
    """CREATE TABLE entries (id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    family TEXT NOT NULL, dialect TEXT NOT NULL, algorithm TEXT NOT NULL, rank INTEGER NOT NULL,
    layers INTEGER NOT NULL, norm REAL NOT NULL, kind TEXT NOT NULL, probability REAL NOT NULL,
    triggers TEXT NOT NULL, text TEXT NOT NULL)""",
    "CREATE INDEX entries_by_name ON entries (name)",
    # A file that could not be read has no entry, but a reason.
    """CREATE TABLE files (path TEXT PRIMARY KEY, entry INTEGER REFERENCES entries (id) ON DELETE CASCADE,
    bytes INTEGER NOT NULL, modified INTEGER NOT NULL, reason TEXT NOT NULL)""",
    "CREATE INDEX files_by_entry ON files (entry)",
    f"CREATE TABLE thumbnails ({_OF_ENTRY}, image BLOB NOT NULL)",
    *(f"CREATE TABLE vector_{name} ({_OF_ENTRY}, data BLOB NOT NULL)" for name in TABLES),
)
_SHORTEST_HASH = 6
_NAMED = """SELECT id FROM entries WHERE name = ?1 UNION SELECT entry FROM files WHERE path = ?2 AND entry NOT NULL
UNION SELECT id FROM entries WHERE length(?1) >= ?3 AND sha256 GLOB ?1 || '*'"""
_COLUMNS = ", ".join(f"e.{field.name}" for field in fields(Entry) if field.name != "paths")


class Database:
    """The file of an index, which closes with a context.

    Args:
        path: The SQLite file, created if missing; its folder must exist.

    Raises:
        FormatError: The file is no index, or its fingerprints are of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        if not path.absolute().parent.is_dir():
            raise FormatError(f"{path} cannot be written: its folder does not exist, create it first")
        try:
            self.connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self.execute = self.connection.execute
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise FormatError(f"{path} is not an index of LoRA files ({error}): give another `index`") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def __len__(self) -> int:
        return int(self.execute("SELECT count(*) FROM entries").fetchone()[0])

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries())

    def _prepare(self) -> None:
        pragmas = {"page_size": _PAGE_BYTES, "journal_mode": "WAL", "synchronous": "NORMAL", "foreign_keys": "ON"}
        for name, value in (pragmas | {"mmap_size": _MAPPED_BYTES}).items():
            self.execute(f"PRAGMA {name} = {value}")
        if not self._has_tables():
            with self.transaction():
                if not self._has_tables():  # another process may have made them since
                    for statement in _SCHEMA:
                        self.execute(statement)
                    self.execute("INSERT INTO settings VALUES ('version', ?)", (str(VERSION),))
        version = self.setting("version")
        if version != str(VERSION):
            raise FormatError(
                f"{self.path} holds fingerprints of version {version}, expected {VERSION}: add folders to a new index"
            )

    def _has_tables(self) -> bool:
        return self.execute("SELECT 1 FROM sqlite_master WHERE name = 'settings'").fetchone() is not None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing until the context closes; wait for other writers."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def setting(self, key: str) -> str | None:
        """Return a setting; None if it is not there."""
        row = self.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def add_entry(self, values: Mapping[str, Any], vectors: Mapping[str, Array]) -> tuple[int, bool]:
        """Insert an entry with its fingerprints unless its hash is there; return its number and whether it is new."""
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        is_new = self.execute(
            f"INSERT OR IGNORE INTO entries ({names}) VALUES ({marks})", list(values.values())
        ).rowcount
        number = self.find_sha256(values["sha256"])
        assert number is not None
        for name, vector in vectors.items() if is_new else ():
            self.set_vector(number, name, vector)
        return number, bool(is_new)

    def set_vector(self, entry: int, name: str, vector: Array) -> None:
        """Write a fingerprint of an entry."""
        data = np.ascontiguousarray(vector, _dtype(name)).tobytes()
        self.execute(f"INSERT OR REPLACE INTO vector_{name} VALUES (?, ?)", (entry, data))

    def set_thumbnail(self, entry: int, image: bytes) -> None:
        """Write a thumbnail of an entry, as WebP."""
        self.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", (entry, image))

    def set_file(self, path: str, entry: int | None, size: int, modified: int, reason: str = "") -> None:
        """Record that a file has an entry's bytes, or the reason why it could not be read."""
        self.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", (path, entry, size, modified, reason))

    def find_sha256(self, sha256: str) -> int | None:
        """Return the number of the entry with these bytes."""
        row = self.execute("SELECT id FROM entries WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else int(row[0])

    def known_files(self) -> dict[str, tuple[int, int]]:
        """Return path -> (bytes, time of change in nanoseconds) of every file that was read or could not be."""
        return {path: (size, time) for path, size, time in self.execute("SELECT path, bytes, modified FROM files")}

    def failures(self) -> dict[str, str]:
        """Return path -> the reason why it could not be read."""
        return dict(self.execute("SELECT path, reason FROM files WHERE entry IS NULL ORDER BY path"))

    def entries(self, where: Filter | None = None, ids: Sequence[int] | NDArray[np.int64] | None = None) -> list[Entry]:
        """Return entries with their files, by name.

        Args:
            where: Conditions.
            ids: Numbers of the entries, whose order is kept; None returns all.
        """
        condition, parameters = (where or Filter()).conditions()
        if ids is not None:
            condition += " AND e.id IN (SELECT value FROM json_each(?))"
            parameters.append(json.dumps([int(number) for number in ids]))
        query = (
            f"SELECT {_COLUMNS}, (SELECT json_group_array(path) FROM files WHERE entry = e.id) "
            f"FROM entries e WHERE {condition} ORDER BY e.name, e.id"
        )
        found = {}
        for *columns, triggers, text, paths in self.execute(query, parameters):
            values = (*columns, tuple(json.loads(triggers)), text, tuple(sorted(json.loads(paths))))
            found[columns[0]] = Entry(*values)
        return list(found.values()) if ids is None else [found[number] for number in map(int, ids) if number in found]

    def find(self, name: str | Path) -> Entry:
        """Return the entry that a path, a name or the beginning of a hash means.

        Raises:
            KeyError: There is none, or several have this name.
        """
        name, path = str(name), str(Path(name).absolute())
        shortest = _SHORTEST_HASH if name.isalnum() else 1 << 30  # other texts are patterns, not hashes
        named = self.entries(ids=[row[0] for row in self.execute(_NAMED, (name, path, shortest))])
        found = [entry for entry in named if path in entry.paths] or named
        if len(found) == 1:
            return found[0]
        if found:
            paths = [entry.path for entry in found[:3]]
            raise KeyError(f"expected one entry, found {len(found)} named {name}, first {paths}: give a path or a hash")
        names = [row[0] for row in self.execute("SELECT DISTINCT name FROM entries")]
        hint = did_you_mean(name, names) or ": `lorarar library search` finds names"
        raise KeyError(f"expected the path, name or hash of an entry, found {name!r}{hint}")

    def search(self, text: str = "", *, where: Filter | None = None, count: int = 10) -> list[Entry]:
        """Return entries whose name, trigger words, tags or descriptions contain every word, names first.

        Args:
            text: Words or parts of words; without any, all entries match.
            where: Conditions on the entries.
            count: Largest number of entries.
        """
        condition, parameters = (where or Filter()).conditions()
        patterns = ["%" + re.sub(r"([%_\\])", r"\\\1", word) + "%" for word in text.split()]
        matches = " AND ".join([f"({condition})", *(r"e.text LIKE ? ESCAPE '\'" for _ in patterns)])
        rank = " + ".join([r"(e.name LIKE ? ESCAPE '\')" for _ in patterns] or ["1 = 0"])
        query = f"SELECT e.id FROM entries e WHERE {matches} ORDER BY {rank} DESC, e.name LIMIT ?"
        return self.entries(ids=[row[0] for row in self.execute(query, [*parameters, *patterns, *patterns, count])])

    def vectors(
        self, name: str, where: Filter | None = None, ids: NDArray[np.int64] | None = None, *, after: int = 0
    ) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """Yield (numbers of the entries (n,), fingerprints (n, d)) in chunks, so that memory is bounded.

        Args:
            name: The fingerprint.
            where: Conditions on the entries.
            ids: Numbers of the entries; None takes all.
            after: The number below the first entry.
        """
        condition, parameters = (where or Filter()).conditions()
        join = "" if condition == "1" else "JOIN entries e ON e.id = v.entry"
        if ids is not None:
            condition += " AND v.entry IN (SELECT value FROM json_each(?))"
            parameters.append(json.dumps(ids.tolist()))
        query = f"SELECT v.entry, v.data FROM vector_{name} v {join} WHERE v.entry > ? AND {condition} ORDER BY v.entry"
        with closing(self.execute(query, [after, *parameters])) as cursor:
            rows = cursor.fetchmany(1)
            while rows:
                data: Array = np.frombuffer(b"".join(row[1] for row in rows), _dtype(name))
                yield np.array([row[0] for row in rows], np.int64), data.reshape(len(rows), -1)
                rows = cursor.fetchmany(max(CHUNK // len(rows[0][1]), 1))

    def vector(self, name: str, entry: int) -> Array | None:
        """Return one fingerprint of an entry."""
        row = self.execute(f"SELECT data FROM vector_{name} WHERE entry = ?", (entry,)).fetchone()
        return None if row is None else np.frombuffer(row[0], _dtype(name))

    def remove_entries(self, ids: Sequence[int]) -> None:
        """Remove entries with all that belongs to them."""
        self.connection.executemany("DELETE FROM entries WHERE id = ?", [(number,) for number in ids])

    def remove_files(self, paths: Sequence[str]) -> None:
        """Forget files; their entries stay."""
        self.connection.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(np.uint8 if name in _BITS else np.float32)
