"""Approximate search: a graph of near neighbours beside large indexes, by usearch, an optional package.

The graph holds the bits of the fingerprint "direction". It gives candidates, which are then compared exactly;
experiments/library has the share of the true neighbours among them.

Reference: Y. A. Malkov and D. A. Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical
navigable small world graphs", 2018.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.library.database import Database
from lorarar.library.fingerprints import SIDE, Array
from lorarar.storage import atomic_write, say

LEAST = 100_000  # entries from which a graph is worth its file
_FINGERPRINT = "direction"
_CANDIDATES = 10  # for each neighbour that is asked for
_EFFORT = 400  # entries that a search visits, at least; more raises the recall


def graph_path(database: Database) -> Path:
    """Return the path of the graph of an index."""
    return database.path.with_name(f"{database.path.name}.usearch")


def update_graph(database: Database) -> None:
    """Add new entries to the graph, where the index is large and usearch is installed."""
    path, last = graph_path(database), _last_entry(database)
    if last < LEAST or find_spec("usearch") is None:
        return
    held = int(database.setting("in graph") or 0) if path.exists() else 0
    if held >= last:
        return
    from usearch.index import Index

    graph = _open(path) if held else Index(ndim=SIDE**2, metric="hamming", dtype="b1")
    say(f"add {last - held} entries to the graph of neighbours")
    for ids, codes in database.vectors(_FINGERPRINT, after=held):
        graph.add(ids.astype(np.uint64), codes)
    with atomic_write(path, force=True) as temporary:
        graph.save(str(temporary))
    with database.transaction():
        database.execute("INSERT OR REPLACE INTO settings VALUES ('in graph', ?)", (str(last),))


def find_candidates(database: Database, code: Array, count: int) -> NDArray[np.int64] | None:
    """Return the numbers of the entries nearest to a code, several for each of `count`.

    None where there is no graph, where it lacks entries, or where usearch is missing: search exactly.
    """
    path = graph_path(database)
    if not path.exists() or find_spec("usearch") is None:
        return None
    if int(database.setting("in graph") or 0) < _last_entry(database):
        return None
    keys: NDArray[np.uint64] = _open(path, view=True).search(code, count * _CANDIDATES).keys
    return keys.astype(np.int64)


def _open(path: Path, *, view: bool = False) -> Any:
    from usearch.index import Index

    graph = Index.restore(str(path), view=view)
    graph.expansion_search = _EFFORT
    return graph


def _last_entry(database: Database) -> int:
    return int(database.execute(f"SELECT max(entry) FROM vector_{_FINGERPRINT}").fetchone()[0] or 0)
