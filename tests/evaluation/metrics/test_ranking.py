"""Ranks within pairs, averaged over pairs, classes and categories."""

from __future__ import annotations

import math

import pytest

from lorarar.evaluation.metrics.ranking import ContentClass, average_ranks, rank_methods
from lorarar.evaluation.metrics.scoring import PairScores

CLASSES = {"dog": ContentClass("dog"), "dog2": ContentClass("dog"), "cup": ContentClass("cup", "things")}


def pair(method: str, content: str, **values: float) -> PairScores:
    return PairScores(method, "combined", content, "ink", values)


def test_classes_and_categories_have_equal_weight() -> None:
    ranks = {("dog", "ink"): 1.0, ("dog", "oil"): 0.0, ("dog2", "ink"): 0.5, ("cup", "ink"): 1.0}
    averages = average_ranks(ranks, CLASSES)
    assert averages.classes == {"dog": 0.5, "things: cup": 1.0}
    assert averages.categories == {"all": 0.5, "things": 1.0}
    assert averages.overall == 0.75


def test_missing_ranks_are_left_out() -> None:
    averages = average_ranks({("dog", "ink"): math.nan, ("dog2", "ink"): 1.0, ("cup", "ink"): math.nan}, CLASSES)
    assert averages.overall == 1
    assert math.isnan(averages.categories["things"])


def test_methods_are_ranked_within_each_pair_in_the_metrics_direction() -> None:
    pairs = [
        pair("a", "dog", content_cosine=0.9, style_centroid=0.9),
        pair("b", "dog", content_cosine=0.5, style_centroid=0.5),
        pair("c", "dog", content_cosine=0.7, style_centroid=0.9),
        pair("a", "cup", content_cosine=0.1),
        pair("b", "cup", content_cosine=0.1),
    ]
    ranked = rank_methods(pairs, CLASSES)
    assert ranked["a"]["content_cosine"].classes == {"dog": 1.0, "things: cup": 0.5}
    assert ranked["b"]["content_cosine"].overall == 0.25
    assert ranked["c"]["content_cosine"].overall == 0.5
    assert [ranked[m]["style_centroid"].overall for m in "abc"] == [0.25, 1.0, 0.25]  # lower is better, and a tie
    assert math.isnan(ranked["a"]["diversity"].overall)


def test_a_single_method_has_no_rank() -> None:
    assert math.isnan(rank_methods([pair("a", "dog", content_cosine=0.9)], CLASSES)["a"]["content_cosine"].overall)


def test_ranks_stay_when_a_metric_is_rescaled() -> None:
    values = [0.3, 0.1, 0.2]
    for change in (lambda v: 100 * v, math.exp):
        pairs = [pair(m, "dog", content_cosine=change(v)) for m, v in zip("abc", values, strict=True)]
        ranked = rank_methods(pairs, CLASSES)
        assert [ranked[m]["content_cosine"].overall for m in "abc"] == pytest.approx([1, 0, 0.5])
