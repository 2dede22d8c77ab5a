"""People's labels, kept in the folder of the run that they are about."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lorarar.evaluation.judge.ask.run_folder import Setup
from lorarar.evaluation.judge.trust.agreement import COLUMNS, Ratings, read_labels
from lorarar.storage import write_text

LABELS = "labels.csv"


def import_labels(run: Path, setup: Setup, file: Path, *, key: Path | None = None) -> int:
    """Adds a filled-in sheet to the folder, under the items' own names.

    Args:
        key: of the blinded sheet, which names the items.

    Returns:
        The number of labels that were added.

    Raises:
        ValueError: a label is not understood, or is there already.
    """
    new = read_labels(file, setup.items, key=key)
    rows = [row for ratings in (read_imported(run, setup) or {}, new) for row in _rows(ratings)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    if len({(row[0], row[1], row[3]) for row in rows}) != len(rows):
        raise ValueError(f"{file}: expected new labels, found ones of a rater and an image that {run} has already")
    write_text(run / LABELS, text.getvalue())
    return sum(map(len, new.values()))


def read_imported(run: Path, setup: Setup) -> Ratings | None:
    """The labels that were added to a folder; None when there are none."""
    return read_labels(run / LABELS, setup.items) if (run / LABELS).is_file() else None


def _rows(ratings: Ratings) -> list[tuple[str, str, int, str]]:
    return [
        (item, axis, label, rater)
        for rater, labels in sorted(ratings.items())
        for (item, axis), label in sorted(labels.items())
    ]
