"""Page: a self-contained HTML page with a map, clusters, neighbours and duplicates; or the entries as CSV or JSON."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lorarar.evaluation.report import ReportTable, render_page
from lorarar.library.clusters import cluster_similarities
from lorarar.library.entries import Entry, Filter
from lorarar.library.index import Library
from lorarar.library.plane import place
from lorarar.library.search import all_similarities
from lorarar.library.settings import DEFAULT_FINGERPRINT, EXPORT_ENDINGS
from lorarar.storage import check_target, printable, write_csv, write_json, write_text

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
    force: bool = False,
) -> Path:
    """Write the library as a page (.html) or as a table of its entries (.csv, .json).

    Args:
        library: The library.
        output: The file, whose ending decides.
        by: Fingerprint of the page's map, clusters and neighbours.
        where: Conditions on the entries.
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
        write_text(output, library_page(library, by=by, where=where))
    return output


def library_page(library: Library, *, by: str = DEFAULT_FINGERPRINT, where: Filter | None = None) -> str:
    """Return the page.

    Args:
        library: The library; the files of possible duplicates are read.
        by: Fingerprint of the map, the clusters and the neighbours.
        where: Conditions on the entries.

    Raises:
        ValueError: There are no entries, or too many.
    """
    ids, vectors = library.all_vectors(by, where)
    entries = library.entries(ids=ids)
    if not entries:
        raise ValueError("expected entries to show, found none: add folders first, or use other conditions")
    similar = all_similarities(vectors)
    labels = cluster_similarities(similar)
    nearest = np.argsort(9 * np.eye(len(similar)) - similar, kind="stable")[:, :_NEIGHBOURS]
    thumbnails = _thumbnails(library, entries)
    shown = []
    for i, entry in enumerate(entries):
        neighbours = [(int(j), round(float(similar[i, j]), 3)) for j in nearest[i] if j != i]
        more = {"cluster": int(labels[i]), "neighbours": neighbours, "thumbnail": next(thumbnails)}
        shown.append({"name": printable(entry.name), "facts": _facts(entry)} | more)
    positions = (place(similar) + 1) / 2 * (_SIDE - 2 * _MARGIN) + _MARGIN
    duplicates: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for duplicate in library.duplicates(where):
        duplicates[duplicate.sort].append((duplicate.first, duplicate.second, duplicate.evidence))
    return render_page(
        "library.html.jinja",
        "lorarar.library",
        script="library.js",
        index=library.path.name,
        fingerprint=by,
        entries=shown,
        points=positions.round(1).tolist(),
        clusters=[_cluster(n, [entries[i] for i in np.flatnonzero(labels == n)]) for n in range(labels.max() + 1)],
        colours=_COLOURS,
        side=_SIDE,
        duplicates=[ReportTable((sort, "second file", "evidence"), found) for sort, found in duplicates.items()],
        failures=ReportTable(("file", "reason"), list(library.failures().items())),
    )


def _facts(entry: Entry) -> dict[str, str]:
    """Return what the page says of an entry."""
    facts = {
        "file": entry.path,
        "family": entry.family or "unknown",
        "kind": f"{entry.kind} (p {entry.probability:.2f})" if 0 < entry.probability < 1 else entry.kind or "unknown",
        "algorithm": f"{entry.algorithm}, rank {entry.rank}",
        "norm": f"{entry.norm:.3g}",
        "trigger words": ", ".join(entry.triggers) or "unknown",
        "copies": ", ".join(entry.paths[1:]),
    }
    return {name: printable(value) for name, value in facts.items() if value}


def _thumbnails(library: Library, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a data URI for each entry, "" without an image or beyond the budget of the page."""
    images = dict(library.execute("SELECT entry, image FROM thumbnails"))
    left = _BUDGET
    for entry in entries:
        data = base64.b64encode(images.get(entry.id, b"")).decode("ascii")
        left -= len(data)
        yield f"data:image/webp;base64,{data}" if data and left > 0 else ""


def _cluster(label: int, members: Sequence[Entry]) -> dict[str, Any]:
    """Return number, size and first names of a cluster."""
    names = ", ".join(printable(entry.name) for entry in members[:3])
    return {"number": int(label), "size": len(members), "names": names}
