"""Results of methods: intervals, ranks, prompt types, and pairs that every method has."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lorarar.datasets.records import Item
from lorarar.datasets.references import References
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.export import Measurement
from lorarar.evaluation.metrics.run import (
    measure_metrics,
)
from lorarar.evaluation.statistics.intervals import crossed_interval
from tests.evaluation.metrics.toy import FAULTS, write_items, write_references


def test_methods_means_have_crossed_intervals(measurement: Measurement) -> None:
    (group,) = measurement.groups
    assert [method.method for method in group.methods] == ["base", "leaked", "right", "unstylised"]
    assert group.covers == "9 pairs of 3 contents and 3 styles"
    right = group.methods[2]
    per_image = [i.values["content_cosine"] for i in measurement.images if i.item.method == "right"]
    expected = crossed_interval(np.reshape(per_image, (3, 3, 2)))
    estimate = right.scores["content_cosine"]
    assert estimate is not None
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((expected.mean, expected.low, expected.high))
    per_pair = [pair.values["diversity"] for pair in measurement.pairs if pair.method == "right"]
    assert right.scores["diversity"] is not None
    assert right.scores["diversity"].mean == pytest.approx(np.mean(per_pair))
    assert right.images == 18
    assert right.classes["cat"]["content_cosine"] == pytest.approx(np.mean(per_image[:6]))


def test_the_base_does_not_compete(measurement: Measurement) -> None:
    base, *others = measurement.groups[0].methods
    assert base.rank_scores == {}
    assert base.scores["base_preservation"] is None
    assert all(method.scores["base_preservation"] is not None for method in others)
    ranks = [method.rank_scores["content_cosine"].overall for method in others]
    assert sum(ranks) == pytest.approx(1.5)  # of three methods: 0, 1/2 and 1 in each pair
    assert ranks[2] > 0.8  # nothing is more like the content than the content without style
    assert set(others[0].rank_scores["diversity"].categories) == {"all", "animals"}


def test_faults_are_rewarded_by_one_similarity_and_flagged(
    references: References, toy_folder: Path, items: list[Item]
) -> None:
    tower = load_encoder("tower")
    measurement = measure_metrics(items, references, toy_folder / "images", Encoders(tower, tower, tower))
    _, leaked, right, unstylised = measurement.groups[0].methods
    assert leaked.scores["style_cosine"].mean > right.scores["style_cosine"].mean  # type: ignore[union-attr]
    assert unstylised.scores["content_cosine"].mean > right.scores["content_cosine"].mean  # type: ignore[union-attr]
    assert right.scores["harmonic"].mean > max(m.scores["harmonic"].mean for m in (leaked, unstylised))  # type: ignore[union-attr]
    assert leaked.flags["content_leak"].value > 0.6 > 0.1 > right.flags["content_leak"].value
    assert unstylised.flags["unstylised"].value > 0.6 > 0.1 > right.flags["unstylised"].value


def test_prompt_types_are_separate_and_only_common_pairs_count(tmp_path: Path) -> None:
    references = write_references(tmp_path)
    items = write_items(tmp_path, {"right": FAULTS["right"], "leaked": FAULTS["leaked"]}, seeds=1, prompt_type="train")
    items += write_items(tmp_path, {"right": FAULTS["right"]}, seeds=1, prompt_type="alter")
    missing = next(item for item in items if item.method == "leaked")
    pixels = load_encoder("pixels")
    items.remove(missing)
    measurement = measure_metrics(items, references, tmp_path / "images", Encoders(pixels, pixels, pixels))
    assert [group.prompt_type for group in measurement.groups] == ["train", "alter"]  # the order of the prompt sets
    assert (
        measurement.groups[0].covers
        == "8 pairs of 3 contents and 3 styles; 1 pairs that not every method has are left out"
    )
    assert [method.images for method in measurement.groups[0].methods] == [8, 8]
    assert math.isnan(measurement.groups[1].methods[0].rank_scores["content_cosine"].overall)  # alone, without a rank


def test_one_content_gives_no_interval(references: References, toy_folder: Path, items: list[Item]) -> None:
    pixels = load_encoder("pixels")
    alone = [item for item in items if item.content == items[0].content]
    (group,) = measure_metrics(alone, references, toy_folder / "images", Encoders(pixels, pixels, pixels)).groups
    estimate = group.methods[0].scores["content_cosine"]
    assert estimate is not None
    assert math.isnan(estimate.low)
    assert "no intervals" in group.covers
