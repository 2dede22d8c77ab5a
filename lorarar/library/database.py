"""Database: the SQLite file that holds entries, files, fingerprints and failures.

Writing happens in transactions in WAL mode, so several processes may add at once, and a process that is killed leaves
whole batches. A fingerprint is a row of its own table: its entry's number and float32 numbers as a BLOB.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.library.entries import Entry, Filter
from lorarar.library.fingerprints import VERSION, Vector
from lorarar.library.settings import BASE_FINGERPRINTS, FINGERPRINTS
from lorarar.storage import FormatError

CHUNK = 65_536  # vectors in memory at once while searching
_BUSY_SECONDS = 60.0
_MAPPED_BYTES = 1 << 34
TABLES = (*FINGERPRINTS, *BASE_FINGERPRINTS)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    family TEXT NOT NULL, dialect TEXT NOT NULL, algorithm TEXT NOT NULL, rank INTEGER NOT NULL,
    layers INTEGER NOT NULL, norm REAL NOT NULL, kind TEXT NOT NULL, probability REAL NOT NULL,
    triggers TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_name ON entries (name);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, entry INTEGER NOT NULL REFERENCES entries (id),
    bytes INTEGER NOT NULL, modified INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS files_by_entry ON files (entry);
CREATE TABLE IF NOT EXISTS failures (path TEXT PRIMARY KEY, bytes INTEGER NOT NULL, modified INTEGER NOT NULL,
    reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS thumbnails (entry INTEGER PRIMARY KEY REFERENCES entries (id), image BLOB NOT NULL);
"""
_COLUMNS = "e.id, e.sha256, e.name, e.family, e.dialect, e.algorithm, e.rank, e.layers, e.norm, e.kind, e.probability"


class Database:
    """The file of an index.

    Args:
        path: The SQLite file, created if missing; its folder must exist.

    Raises:
        FormatError: The file is no index, or its fingerprints are of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.absolute().parent.is_dir():
            raise FormatError(f"{path} cannot be written: its folder does not exist, create it first")
        try:
            self.connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise FormatError(f"{path} is not an index of LoRA files ({error}): give another `index`") from error

    def _prepare(self) -> None:
        execute = self.connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA foreign_keys = ON")
        execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
        if not execute("SELECT 1 FROM sqlite_master WHERE name = 'thumbnails'").fetchone():
            with self.transaction():
                for statement in _SCHEMA.split(";"):
                    execute(statement)
                for name in TABLES:
                    execute(f"CREATE TABLE IF NOT EXISTS vector_{name} (entry INTEGER PRIMARY KEY, data BLOB NOT NULL)")
                execute("INSERT OR IGNORE INTO settings VALUES ('version', ?)", (str(VERSION),))
        row = execute("SELECT value FROM settings WHERE key = 'version'").fetchone()
        if row is None or row[0] != str(VERSION):
            raise FormatError(
                f"{self.path} holds fingerprints of version {row and row[0]}, expected {VERSION}: add the folders to a "
                "new index"
            )

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing until the context closes; wait for other writers."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def add_entry(self, values: Mapping[str, Any], vectors: Mapping[str, Vector]) -> int:
        """Insert an entry with its fingerprints unless its hash is there; return its number."""
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        cursor = self.connection.execute(
            f"INSERT OR IGNORE INTO entries ({names}) VALUES ({marks})", list(values.values())
        )
        number = self.find_sha256(values["sha256"])
        assert number is not None
        if cursor.rowcount:
            for name, vector in vectors.items():
                self.set_vector(number, name, vector)
        return number

    def set_vector(self, entry: int, name: str, vector: NDArray[np.floating]) -> None:
        """Write a fingerprint of an entry."""
        data = np.ascontiguousarray(vector, np.float32).tobytes()
        self.connection.execute(f"INSERT OR REPLACE INTO vector_{name} VALUES (?, ?)", (entry, data))

    def set_thumbnail(self, entry: int, image: bytes) -> None:
        """Write a thumbnail of an entry, as WebP."""
        self.connection.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", (entry, image))

    def set_file(self, path: str, entry: int, size: int, modified: int) -> None:
        """Record that a file has an entry's bytes."""
        self.connection.execute("DELETE FROM failures WHERE path = ?", (path,))
        self.connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (path, entry, size, modified))

    def set_failure(self, path: str, size: int, modified: int, reason: str) -> None:
        """Record why a file could not be read."""
        self.connection.execute("DELETE FROM files WHERE path = ?", (path,))
        self.connection.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", (path, size, modified, reason))

    def find_sha256(self, sha256: str) -> int | None:
        """Return the number of the entry with these bytes."""
        row = self.connection.execute("SELECT id FROM entries WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else int(row[0])

    def known_files(self) -> dict[str, tuple[int, int]]:
        """Return path -> (bytes, time of change in nanoseconds) of every file that was read or could not be."""
        query = "SELECT path, bytes, modified FROM files UNION ALL SELECT path, bytes, modified FROM failures"
        return {path: (size, modified) for path, size, modified in self.connection.execute(query)}

    def failures(self) -> dict[str, str]:
        """Return path -> the reason why it could not be read."""
        return dict(self.connection.execute("SELECT path, reason FROM failures ORDER BY path"))

    def entries(self, where: Filter | None = None, ids: Sequence[int] | None = None) -> list[Entry]:
        """Return entries with their files, by name.

        Args:
            where: Conditions.
            ids: Numbers of the entries, whose order is kept; None returns all.
        """
        condition, parameters = (where or Filter()).conditions()
        if ids is not None:
            condition, parameters = (
                f"({condition}) AND e.id IN (SELECT value FROM json_each(?))",
                [
                    *parameters,
                    json.dumps([int(number) for number in ids]),
                ],
            )
        query = (
            f"SELECT {_COLUMNS}, e.triggers, e.text, (SELECT json_group_array(path) FROM files WHERE entry = e.id) "
            f"FROM entries e WHERE {condition} ORDER BY e.name, e.id"
        )
        found = [_entry(row) for row in self.connection.execute(query, parameters)]
        if ids is None:
            return found
        by_id = {entry.id: entry for entry in found}
        return [by_id[number] for number in ids if number in by_id]

    def vectors(self, name: str, where: Filter | None = None) -> Iterator[tuple[NDArray[np.int64], Vector]]:
        """Yield (numbers of the entries (n,), fingerprints (n, d)) in chunks, so that memory is bounded."""
        condition, parameters = (where or Filter()).conditions()
        join = "" if condition == "1" else "JOIN entries e ON e.id = v.entry"
        query = f"SELECT v.entry, v.data FROM vector_{name} v {join} WHERE {condition} ORDER BY v.entry"
        with closing(self.connection.execute(query, parameters)) as cursor:
            while rows := cursor.fetchmany(CHUNK):
                data = np.frombuffer(b"".join(row[1] for row in rows), np.float32)
                yield np.array([row[0] for row in rows], np.int64), data.reshape(len(rows), -1)

    def vector(self, name: str, entry: int) -> Vector | None:
        """Return one fingerprint of an entry."""
        row = self.connection.execute(f"SELECT data FROM vector_{name} WHERE entry = ?", (entry,)).fetchone()
        return None if row is None else np.frombuffer(row[0], np.float32)

    def remove_entries(self, ids: Sequence[int]) -> None:
        """Remove entries with all that belongs to them."""
        for number in ids:
            for name in TABLES:
                self.connection.execute(f"DELETE FROM vector_{name} WHERE entry = ?", (number,))
            for table in ("files", "thumbnails"):
                self.connection.execute(f"DELETE FROM {table} WHERE entry = ?", (number,))
            self.connection.execute("DELETE FROM entries WHERE id = ?", (number,))

    def remove_file(self, path: str) -> None:
        """Forget a file; its entry stays."""
        for table in ("files", "failures"):
            self.connection.execute(f"DELETE FROM {table} WHERE path = ?", (path,))


def _entry(row: Sequence[Any]) -> Entry:
    *columns, triggers, text, paths = row
    values = dict(zip((column.strip().removeprefix("e.") for column in _COLUMNS.split(",")), columns, strict=True))
    return Entry(**values, paths=tuple(sorted(json.loads(paths))), triggers=tuple(json.loads(triggers)), text=text)
