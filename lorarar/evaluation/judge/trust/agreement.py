"""Agreement of people, this judge and other judges about the same images."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets import AXES, Axis, Item
from lorarar.evaluation.judge.read.scores import ImageScore
from lorarar.evaluation.statistics.agreement import cohen_kappa, krippendorff_alpha, raw_agreement
from lorarar.evaluation.statistics.intervals import Estimate
from lorarar.evaluation.statistics.proportions import Rate

COLUMNS = ("item", "axis", "label", "rater")
MAJORITY = "majority of people"
_LABELS = {"1": 1, "yes": 1, "y": 1, "true": 1, "0": 0, "no": 0, "n": 0, "false": 0}
Unit = tuple[str, Axis]
Ratings = Mapping[str, Mapping[Unit, int]]


@dataclass(frozen=True)
class RaterPair:
    """Two raters on one axis, over the images that both rated.

    Attributes:
        agreed: The share of equal ratings.
        kappa: Cohen's, with an interval that takes images as independent.
    """

    axis: Axis
    first: str
    second: str
    agreed: Rate
    kappa: Estimate


@dataclass(frozen=True)
class Agreement:
    """All raters on both axes.

    Attributes:
        alpha: Krippendorff's, over all raters without the majority.
    """

    pairs: list[RaterPair]
    alpha: dict[Axis, float]


def read_human_labels(path: Path, items: Iterable[Item], *, key: Path | None = None) -> dict[str, dict[Unit, int]]:
    """Read people's labels, by rater.

    Args:
        path: CSV with the columns item, axis, label (1, yes, 0 or no; empty: not rated) and rater.
        items: The items that may be labelled.
        key: The key of a rating sheet, where ``item`` holds the sheet's anonymous ids.

    Raises:
        ValueError: A column is missing, an item, axis or label is unknown, or a rater labelled an image twice.
    """
    names = _read_key(key) if key else None
    ids = {item.id for item in items}
    ratings: dict[str, dict[Unit, int]] = {}
    for line, row in _rows(path, COLUMNS):
        where = f"{path}, line {line}"
        item = row["item"] if names is None else names.get(row["item"], "")
        if item not in ids:
            raise ValueError(f"{where}: expected an item of the manifest, found {row['item']!r}: pass the sheet's key")
        if row["axis"] not in AXES:
            raise ValueError(f"{where}: expected the axis content or style, found {row['axis']!r}")
        label = row["label"].lower()
        if not label:
            continue
        if label not in _LABELS:
            raise ValueError(f"{where}: expected a label 1, 0, yes or no, found {row['label']!r}")
        axis: Axis = "content" if row["axis"] == "content" else "style"
        rated = ratings.setdefault(row["rater"] or "anonymous", {})
        if (item, axis) in rated:
            raise ValueError(f"{where}: {row['rater']!r} labelled {item!r} on {axis} twice: keep one of the lines")
        rated[item, axis] = _LABELS[label]
    return ratings


def judge_ratings(images: Iterable[ImageScore]) -> dict[Unit, int]:
    """Return a judge's ratings: whether each axis passes; undecided axes are left out."""
    ratings = {}
    for image in images:
        for axis in AXES:
            passes = image.axes[axis].passes()
            if passes is not None:
                ratings[image.item.id, axis] = int(passes)
    return ratings


def majority(ratings: Ratings) -> dict[Unit, int]:
    """Return the rating of more than half of a unit's raters; evenly split units are left out."""
    consensus = {}
    for unit in sorted({unit for rated in ratings.values() for unit in rated}):
        votes = [rated[unit] for rated in ratings.values() if unit in rated]
        if 2 * sum(votes) != len(votes):
            consensus[unit] = int(2 * sum(votes) > len(votes))
    return consensus


def compare_raters(judges: Ratings, people: Ratings | None = None) -> Agreement:
    """Compare every two raters, and every judge with the majority of people where there are several.

    Raises:
        ValueError: A judge and a person, or one of them and the majority, have the same name.
    """
    people = people or {}
    if twice := sorted({*judges, MAJORITY} & {*people} | {*judges} & {MAJORITY}):
        raise ValueError(f"expected raters of different names, found {', '.join(twice)} twice: rename them")
    raters = {**judges, **people}
    compared = [*itertools.combinations(raters.items(), 2)]
    if len(people) > 1:
        consensus = majority(people)
        compared += [(judge, (MAJORITY, consensus)) for judge in judges.items()]
    pairs = [_compare(axis, *couple) for axis in AXES for couple in compared]
    return Agreement(
        [pair for pair in pairs if pair.agreed.total], {axis: _alpha(axis, list(raters.values())) for axis in AXES}
    )


def _compare(axis: Axis, first: tuple[str, Mapping[Unit, int]], second: tuple[str, Mapping[Unit, int]]) -> RaterPair:
    units = [unit for unit in sorted(first[1]) if unit in second[1] and unit[1] == axis]
    a, b = [first[1][unit] for unit in units], [second[1][unit] for unit in units]
    return RaterPair(axis, first[0], second[0], raw_agreement(a, b), cohen_kappa(a, b))


def _alpha(axis: Axis, raters: Sequence[Mapping[Unit, int]]) -> float:
    units = sorted({unit for rated in raters for unit in rated if unit[1] == axis})
    return krippendorff_alpha([[rated.get(unit) for rated in raters] for unit in units])


def _read_key(path: Path) -> dict[str, str]:
    return {row["id"]: row["item"] for _, row in _rows(path, ("id", "item"))}


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read the lines of a CSV file with these columns, with their numbers and stripped values."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path}: expected the columns {', '.join(columns)}, found no {', '.join(missing)}: "
                "save it as CSV with commas and a header"
            )
        return [(reader.line_num, {name: (row[name] or "").strip() for name in columns}) for row in reader]
