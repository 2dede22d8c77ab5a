"""Lookup: entries by path, name, hash, or words of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorarar.library.database import Database
from lorarar.library.entries import Entry, Filter
from lorarar.storage import did_you_mean

_SHORTEST_HASH = 6
_NAMED = """
SELECT id FROM entries WHERE name = ?1 UNION SELECT entry FROM files WHERE path = ?2
UNION SELECT id FROM entries WHERE length(?1) >= ?3 AND sha256 GLOB ?1 || '*'
"""


def find_entry(database: Database, name: str) -> Entry:
    """Return the entry that a path, a name or the beginning of a hash means.

    Raises:
        KeyError: There is none, or several have this name.
    """
    path = str(Path(name).absolute())
    shortest = _SHORTEST_HASH if name.isalnum() else 1 << 30  # other texts are patterns, not hashes
    rows = database.connection.execute(_NAMED, (name, path, shortest))
    named = database.entries(ids=[row[0] for row in rows])
    found = [entry for entry in named if path in entry.paths] or named
    if len(found) == 1:
        return found[0]
    if found:
        paths = [entry.path for entry in found[:3]]
        raise KeyError(f"expected one entry, found {len(found)} named {name}, first {paths}: give a path or a hash")
    names = [row[0] for row in database.connection.execute("SELECT DISTINCT name FROM entries")]
    hint = did_you_mean(name, names) or ": `lorarar library search` finds names"
    raise KeyError(f"expected the path, name or hash of an entry, found {name!r}{hint}")


def search_words(database: Database, words: Sequence[str], where: Filter, count: int) -> list[Entry]:
    """Return entries whose texts contain every word, those with the words in their names first.

    Args:
        database: The index.
        words: Words or parts of words, in any case.
        where: Conditions on the entries.
        count: Largest number of entries.
    """
    condition, parameters = where.conditions()
    plain = [word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for word in words]
    patterns = [f"%{word}%" for word in plain]
    matches = " AND ".join([f"({condition})", *(r"e.text LIKE ? ESCAPE '\'" for _ in words)])
    rank = " + ".join([r"(e.name LIKE ? ESCAPE '\')" for _ in words] or ["1 = 0"])
    query = f"SELECT e.id FROM entries e WHERE {matches} ORDER BY {rank} DESC, e.name LIMIT ?"
    rows = database.connection.execute(query, [*parameters, *patterns, *patterns, count])
    return database.entries(ids=[row[0] for row in rows])
