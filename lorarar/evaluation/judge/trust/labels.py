"""Labels by people, kept in the folder of the run that they are about."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lorarar.evaluation.judge.ask.run_folder import Setup
from lorarar.evaluation.judge.trust.agreement import COLUMNS, Ratings, read_human_labels
from lorarar.storage import write_text

LABELS = "labels.csv"


def import_labels(run: Path, setup: Setup, file: Path, *, key: Path | None = None) -> int:
    """Add the labels of a filled-in sheet to a run folder, under the items' own names.

    Args:
        key: The key of the rating sheet, which names the items.

    Returns:
        The number of new labels.

    Raises:
        ValueError: A label is invalid, or the folder already has it.
    """
    added = read_human_labels(file, setup.items, key=key)
    rows = [row for ratings in (read_imported(run, setup) or {}, added) for row in _rows(ratings)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    if len({(row[0], row[1], row[3]) for row in rows}) != len(rows):
        raise ValueError(f"{file}: expected new labels, found some that {run} already has: remove those lines")
    write_text(run / LABELS, text.getvalue())
    return sum(map(len, added.values()))


def read_imported(run: Path, setup: Setup) -> Ratings | None:
    """Read the labels in a run folder; None when there are none."""
    return read_human_labels(run / LABELS, setup.items) if (run / LABELS).is_file() else None


def _rows(ratings: Ratings) -> list[tuple[str, str, int, str]]:
    return [
        (item, axis, label, rater)
        for rater, labels in sorted(ratings.items())
        for (item, axis), label in sorted(labels.items())
    ]
