"""Ranks: methods compared within each pair, so that metrics on different scales can be averaged.

For each metric, prompt type and pair, the methods are ranked from 0 (worst) to 1 (best). Ranks are then averaged over
the pairs of a class, over the classes of a category and over the categories, so that a large class does not dominate.

Reference: arXiv 2309.14859, section 5.1; the sub-class of the paper is a pair here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorarar.evaluation.metrics.measures import mean, rank_normalise
from lorarar.evaluation.metrics.scoring import PairScores
from lorarar.evaluation.metrics.table import METRICS


@dataclass(frozen=True)
class ContentClass:
    """The class of a content, such as "dog", and the category of the class, such as "animals"."""

    class_: str
    category: str = "all"


@dataclass(frozen=True)
class RankScores:
    """The rank score of a method by one metric: its mean rank, 0 to 1, 1 is best; NaN where it was not ranked."""

    overall: float
    categories: dict[str, float]
    classes: dict[str, float]


def rank_methods(
    pairs: Sequence[PairScores], content_classes: Mapping[str, ContentClass]
) -> dict[str, dict[str, RankScores]]:
    """Rank methods by the scores of their pairs.

    Args:
        pairs: The pairs of the methods to compare, all of one prompt type.
        content_classes: The class of each content, by name.

    Returns:
        Ranks by method and metric.
    """
    methods = sorted({pair.method for pair in pairs})
    ranks: dict[str, dict[str, RankScores]] = {method: {} for method in methods}
    for metric in METRICS:
        of_pairs = _rank_pairs(pairs, metric)
        for method in methods:
            ranks[method][metric] = average_ranks(of_pairs[method], content_classes)
    return ranks


def average_ranks(ranks: Mapping[tuple[str, str], float], content_classes: Mapping[str, ContentClass]) -> RankScores:
    """Average ranks over pairs, then over classes, then over categories; NaN is left out.

    Args:
        ranks: The rank of one method, 0 to 1, by (content, style).
        content_classes: The class of each content, by name.
    """
    by_class: dict[ContentClass, list[float]] = defaultdict(list)
    for (content, _), rank in sorted(ranks.items()):
        by_class[content_classes[content]].append(rank)
    of_classes = {class_: mean(values) for class_, values in by_class.items()}
    by_category: dict[str, list[float]] = defaultdict(list)
    for class_, value in of_classes.items():
        by_category[class_.category].append(value)
    categories = {name: mean(values) for name, values in sorted(by_category.items())}
    classes = {_name(class_): value for class_, value in sorted(of_classes.items(), key=lambda entry: _name(entry[0]))}
    return RankScores(mean(categories.values()), categories, classes)


def _rank_pairs(pairs: Sequence[PairScores], metric: str) -> dict[str, dict[tuple[str, str], float]]:
    """Return the ranks by method and (content, style)."""
    by_pair: dict[tuple[str, str], list[PairScores]] = defaultdict(list)
    for pair in pairs:
        by_pair[pair.content, pair.style].append(pair)
    ranks: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for key, compared in by_pair.items():
        values = [METRICS[metric].sign * pair.values.get(metric, math.nan) for pair in compared]
        for pair, rank in zip(compared, rank_normalise(values), strict=True):
            ranks[pair.method][key] = float(rank)
    return ranks


def _name(content_class: ContentClass) -> str:
    """Return the class with its category, where it has one of its own."""
    if content_class.category == "all":
        return content_class.class_
    return f"{content_class.category}: {content_class.class_}"
