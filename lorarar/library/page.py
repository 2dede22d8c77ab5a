"""Page: a self-contained HTML page with a map, clusters, neighbours and duplicates; or the entries as CSV or JSON."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.report import ReportTable, render_page
from lorarar.library.clusters import cluster_vectors, cosine_distances
from lorarar.library.entries import Entry, Filter
from lorarar.library.index import Library
from lorarar.library.plane import place
from lorarar.library.settings import DEFAULT_FINGERPRINT, EXPORT_ENDINGS
from lorarar.storage import check_target, printable, say, write_csv, write_json, write_text

_NEIGHBOURS = 8
_COLOURS = 10  # clusters beyond these are grey
_SIDE, _MARGIN = 720, 24  # of the map, units
_BUDGET = 6_000_000  # characters of all thumbnails


def export_library(
    library: Library,
    output: str | Path,
    *,
    by: str = DEFAULT_FINGERPRINT,
    where: Filter | None = None,
    duplicates: bool = True,
    force: bool = False,
) -> Path:
    """Write the library as a page (.html) or as a table of its entries (.csv, .json).

    Args:
        library: The library.
        output: The file, whose ending decides.
        by: Fingerprint of the page's map, clusters and neighbours.
        where: Conditions on the entries.
        duplicates: Whether the page lists duplicates, which reads files.
        force: Whether an existing file may be replaced.

    Raises:
        FormatError: The file exists and `force` is False, or its folder does not exist.
        ValueError: The ending is another, or there are too many entries for a page.
    """
    output = Path(output)
    if output.suffix not in EXPORT_ENDINGS:
        raise ValueError(f"expected a file ending in {', '.join(EXPORT_ENDINGS)}, found {output}: rename `output`")
    check_target(output, force)
    rows = [entry.row() for entry in library.entries(where)]
    if output.suffix == ".json":
        write_json(output, rows)
    elif output.suffix == ".csv":
        write_csv(output, [list(rows[0]) if rows else [], *([str(v) for v in row.values()] for row in rows)])
    else:
        write_text(output, library_page(library, by=by, where=where, duplicates=duplicates))
    return output


def library_page(
    library: Library, *, by: str = DEFAULT_FINGERPRINT, where: Filter | None = None, duplicates: bool = True
) -> str:
    """Return the page.

    Args:
        library: The library.
        by: Fingerprint of the map, the clusters and the neighbours.
        where: Conditions on the entries.
        duplicates: Whether duplicates are listed.

    Raises:
        ValueError: There are too many entries.
    """
    ids, vectors = library.all_vectors(by, where)
    entries = library.database.entries(ids=[int(number) for number in ids])
    if not entries:
        raise ValueError("expected entries to show, found none: add folders first, or use other conditions")
    distances = cosine_distances(vectors)
    labels = cluster_vectors(vectors)
    shown = [
        _data(entry, labels[i], neighbours, thumbnail)
        for i, (entry, neighbours, thumbnail) in enumerate(
            zip(entries, _neighbours(distances), _thumbnails(library, ids), strict=True)
        )
    ]
    groups = _duplicate_tables(library, where) if duplicates else []
    return render_page(
        "library.html.jinja",
        "lorarar.library",
        script="library.js",
        index=library.database.path.name,
        fingerprint=by,
        entries=shown,
        points=_points(place(distances)),
        clusters=_clusters(entries, labels),
        colours=_COLOURS,
        side=_SIDE,
        duplicates=groups,
        listed=duplicates,
        failures=ReportTable(("file", "reason"), list(library.failures().items())),
    )


def _data(entry: Entry, label: int, neighbours: list[tuple[int, float]], thumbnail: str) -> dict[str, Any]:
    """Return what the script knows of an entry."""
    kind = f"{entry.kind} (p {entry.probability:.2f})" if 0 < entry.probability < 1 else entry.kind
    facts = {
        "file": entry.path,
        "family": entry.family or "unknown",
        "kind": kind or "unknown",
        "algorithm": f"{entry.algorithm}, rank {entry.rank}",
        "norm": f"{entry.norm:.3g}",
        "trigger words": ", ".join(entry.triggers) or "unknown",
        "copies": ", ".join(entry.paths[1:]),
    }
    return {
        "name": printable(entry.name),
        "facts": {name: printable(value) for name, value in facts.items() if value},
        "cluster": int(label),
        "neighbours": neighbours,
        "thumbnail": thumbnail,
    }


def _neighbours(distances: NDArray[np.float32]) -> list[list[tuple[int, float]]]:
    """Return the nearest other entries of each, with their cosines."""
    rows = []
    for i, row in enumerate(distances):
        order = [int(j) for j in np.argsort(row, kind="stable") if j != i][:_NEIGHBOURS]
        rows.append([(j, round(1 - float(row[j]), 3)) for j in order])
    return rows


def _thumbnails(library: Library, ids: Sequence[int] | NDArray[np.int64]) -> list[str]:
    """Return a data URI for each entry, "" without an image or beyond the budget of the page."""
    images = dict(library.database.connection.execute("SELECT entry, image FROM thumbnails"))
    uris, left = [], _BUDGET
    for number in ids:
        data = base64.b64encode(images.get(int(number), b"")).decode("ascii")
        uris.append(f"data:image/webp;base64,{data}" if data and len(data) < left else "")
        left -= len(data) if uris[-1] else 0
    return uris


def _points(positions: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return positions of -1 .. 1 in units of the map."""
    scaled = (positions + 1) / 2 * (_SIDE - 2 * _MARGIN) + _MARGIN
    return [(round(float(x), 1), round(float(y), 1)) for x, y in scaled]


def _clusters(entries: Sequence[Entry], labels: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return number, size, and the most frequent words of the names of each cluster."""
    members: dict[int, list[Entry]] = defaultdict(list)
    for entry, label in zip(entries, labels, strict=True):
        members[int(label)].append(entry)
    return [
        {"number": label, "size": len(some), "names": ", ".join(printable(entry.name) for entry in some[:3])}
        for label, some in sorted(members.items())
    ]


def _duplicate_tables(library: Library, where: Filter | None) -> list[ReportTable]:
    """Return one table for each sort of duplicates."""
    rows: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for duplicate in library.duplicates(where):
        rows[duplicate.sort].append((duplicate.first, duplicate.second, duplicate.evidence))
    say(f"found {sum(map(len, rows.values()))} duplicates")
    return [ReportTable((sort, "second file", "evidence"), found) for sort, found in rows.items()]
