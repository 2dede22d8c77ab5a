"""Ranks instead of values, so that metrics of different scales can be averaged.

Per metric, prompt type and pair the methods are ranked, 0 the worst and 1 the best; then ranks are averaged over the
pairs of a class, over the classes of a category, and over categories, so that no large class outvotes the others.

Reference: arXiv 2309.14859, section 5.1; a pair is the sub-class here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lorarar.evaluation.metrics.measures import rank_normalise
from lorarar.evaluation.metrics.scoring import PairScores
from lorarar.evaluation.report.metric_names import METRICS


@dataclass(frozen=True)
class Place:
    """Where a content belongs."""

    class_: str
    category: str = "all"


@dataclass(frozen=True)
class Ranks:
    """A method's mean rank by one metric, 0 to 1, higher is better; NaN where it was not ranked."""

    overall: float
    categories: dict[str, float]
    classes: dict[str, float]


def rank_methods(pairs: Sequence[PairScores], places: Mapping[str, Place]) -> dict[str, dict[str, Ranks]]:
    """Ranks of methods by their pairs, all of one prompt type: by method and metric.

    Args:
        pairs: those of the methods that are to be compared.
        places: class and category by content.
    """
    methods = sorted({pair.method for pair in pairs})
    found: dict[str, dict[str, Ranks]] = {method: {} for method in methods}
    for metric in METRICS:
        ranks = _rank_pairs(pairs, metric)
        for method in methods:
            found[method][metric] = aggregate(ranks[method], places)
    return found


def aggregate(ranks: Mapping[tuple[str, str], float], places: Mapping[str, Place]) -> Ranks:
    """Means of (content, style) ranks: over pairs, then classes, then categories. NaN is left out."""
    by_class: dict[Place, list[float]] = defaultdict(list)
    for (content, _), rank in sorted(ranks.items()):
        by_class[places[content]].append(rank)
    of_classes = {place: mean(values) for place, values in by_class.items()}
    by_category: dict[str, list[float]] = defaultdict(list)
    for place, value in of_classes.items():
        by_category[place.category].append(value)
    categories = {name: mean(values) for name, values in sorted(by_category.items())}
    classes = {_name(place): value for place, value in sorted(of_classes.items(), key=lambda entry: _name(entry[0]))}
    return Ranks(mean(categories.values()), categories, classes)


def mean(values: Iterable[float]) -> float:
    """The mean of what is there; NaN for nothing."""
    there = [value for value in values if not math.isnan(value)]
    return math.fsum(there) / len(there) if there else math.nan


def _rank_pairs(pairs: Sequence[PairScores], metric: str) -> dict[str, dict[tuple[str, str], float]]:
    by_pair: dict[tuple[str, str], list[PairScores]] = defaultdict(list)
    for pair in pairs:
        by_pair[pair.content, pair.style].append(pair)
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for key, compared in by_pair.items():
        values = [METRICS[metric].sign * pair.values.get(metric, math.nan) for pair in compared]
        for pair, rank in zip(compared, rank_normalise(values), strict=True):
            found[pair.method][key] = float(rank)
    return found


def _name(place: Place) -> str:
    return place.class_ if place.category == "all" else f"{place.category}: {place.class_}"
