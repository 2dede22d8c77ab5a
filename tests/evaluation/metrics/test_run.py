"""From a manifest to metrics: every value is that of its measure, gaps have reasons, hostile images stop nothing."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from lorarar.datasets.manifest import write_manifest
from lorarar.datasets.records import Item
from lorarar.datasets.references import References
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import MapEncoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.export import Measurement, write_measurement
from lorarar.evaluation.metrics.features import gram_vectors
from lorarar.evaluation.metrics.measures import centroid_distance, cosine_fidelity, harmonic_mean, mean_cosine, vendi
from lorarar.evaluation.metrics.ranking import ContentClass
from lorarar.evaluation.metrics.run import (
    MetricsConfig,
    load_encoders,
    measure_metrics,
    read_content_classes,
    run_metrics,
)
from lorarar.evaluation.report.metric_names import FEATURE_METRICS, FLAGS
from lorarar.evaluation.statistics.bootstrap import crossed_interval
from lorarar.storage.config import load_config
from tests.evaluation.metrics.texts import Words
from tests.evaluation.metrics.toy import FAULTS, of_base, write_items, write_references

TRIGGERS = ("sks", "in szn style")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metrics")


@pytest.fixture(scope="module")
def references(folder: Path) -> References:
    return write_references(folder)


@pytest.fixture(scope="module")
def items(folder: Path) -> list[Item]:
    return write_items(folder, FAULTS | {"base": of_base})


@pytest.fixture(scope="module")
def encoders() -> Encoders:
    tower = load_encoder("tower")
    return Encoders(tower, load_encoder("pixels"), tower, Words())


@pytest.fixture(scope="module")
def measured(folder: Path, references: References, items: list[Item], encoders: Encoders) -> Measurement:
    places = read_content_classes(folder / "references" / "references.yaml", references)
    return measure_metrics(items, references, folder / "images", encoders, triggers=TRIGGERS, places=places)


def pair(items: list[Item], method: str) -> list[Item]:
    """The images of one pair."""
    first = next(item for item in items if item.method == method)
    return [i for i in items if (i.method, i.content, i.style) == (method, first.content, first.style)]


def images(folder: Path, paths: list[str]) -> list[Image.Image]:
    return [Image.open(folder / path).convert("RGB") for path in paths]


def test_every_value_is_that_of_its_measure(
    folder: Path, references: References, items: list[Item], encoders: Encoders, measured: Measurement
) -> None:
    chosen, base = pair(items, "right"), pair(items, "base")
    shown = images(folder / "images", [item.path for item in chosen])
    content, style = (
        images(folder / "references", list(references.concepts[axis, name].images))  # type: ignore[index]
        for axis, name in (("content", chosen[0].content), ("style", chosen[0].style))
    )
    tower, pixels, words = encoders.content, encoders.style, encoders.text
    assert isinstance(tower, MapEncoder)
    assert isinstance(words, Words)
    x, y, s, t = (e.encode_images(i) for e, i in ((tower, shown), (tower, content), (pixels, shown), (pixels, style)))
    grams, of_style, bases = (
        gram_vectors(tower, given).astype(float)
        for given in (shown, style, images(folder / "images", [item.path for item in base]))
    )
    text = words.encode_texts(["a cat"] * len(chosen))  # the prompt without triggers
    expected = {
        "content_cosine": cosine_fidelity(x, y),
        "content_centroid": centroid_distance(x, y),
        "style_cosine": cosine_fidelity(s, t),
        "style_centroid": centroid_distance(s, t),
        "style_gram": np.mean([((g - r) ** 2).sum() for g in grams for r in of_style]),
        "harmonic": np.mean(
            [harmonic_mean(cosine_fidelity([a], y), cosine_fidelity([b], t)) for a, b in zip(x, s, strict=True)]
        ),
        "controllability": mean_cosine(words.encode_images(shown), text),
        "diversity": vendi(x),
        "base_preservation": ((grams - bases) ** 2).sum(1).mean(),
    }
    found = next(
        p for p in measured.pairs if (p.method, p.content, p.style) == ("right", chosen[0].content, chosen[0].style)
    )
    assert found.values == pytest.approx(expected, rel=1e-5)
    assert set(expected) == set(FEATURE_METRICS)


def test_methods_means_have_crossed_intervals(measured: Measurement) -> None:
    (group,) = measured.groups
    assert [method.method for method in group.methods] == ["base", "leaked", "right", "unstylised"]
    assert group.covers == "9 pairs of 3 contents and 3 styles"
    right = group.methods[2]
    per_image = [i.values["content_cosine"] for i in measured.images if i.item.method == "right"]
    expected = crossed_interval(np.reshape(per_image, (3, 3, 2)).mean(2, keepdims=True))
    found = right.scores["content_cosine"]
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
    per_pair = [pair.values["diversity"] for pair in measured.pairs if pair.method == "right"]
    assert right.scores["diversity"] is not None
    assert right.scores["diversity"].mean == pytest.approx(np.mean(per_pair))
    assert right.images == 18
    assert right.classes["cat"]["content_cosine"] == pytest.approx(np.mean(per_image[:6]))


def test_the_base_does_not_compete(measured: Measurement) -> None:
    base, *others = measured.groups[0].methods
    assert base.ranks == {}
    assert base.scores["base_preservation"] is None
    assert all(method.scores["base_preservation"] is not None for method in others)
    ranks = [method.ranks["content_cosine"].overall for method in others]
    assert sum(ranks) == pytest.approx(1.5)  # of three methods: 0, 1/2 and 1 in each pair
    assert ranks[2] > 0.8  # nothing is more like the content than the content without style
    assert set(others[0].ranks["diversity"].categories) == {"all", "animals"}


def test_faults_are_rewarded_by_one_similarity_and_flagged(
    references: References, folder: Path, items: list[Item]
) -> None:
    tower = load_encoder("tower")
    found = measure_metrics(items, references, folder / "images", Encoders(tower, tower, tower))
    _, leaked, right, unstylised = found.groups[0].methods
    assert leaked.scores["style_cosine"].mean > right.scores["style_cosine"].mean  # type: ignore[union-attr]
    assert unstylised.scores["content_cosine"].mean > right.scores["content_cosine"].mean  # type: ignore[union-attr]
    assert right.scores["harmonic"].mean > max(m.scores["harmonic"].mean for m in (leaked, unstylised))  # type: ignore[union-attr]
    assert leaked.flags["content_leak"].value > 0.6 > 0.1 > right.flags["content_leak"].value
    assert unstylised.flags["unstylised"].value > 0.6 > 0.1 > right.flags["unstylised"].value


def test_gaps_have_reasons(references: References, folder: Path, items: list[Item]) -> None:
    tower, words = load_encoder("tower"), Words()
    alone = [replace(item, prompt="") for item in items if item.method == "right" and item.seed == 0]
    found = measure_metrics(alone, references, folder / "images", Encoders(tower, tower, words, tower)).not_measured
    assert found == {
        "controllability": "the encoder tower has no text side: choose clip as text",
        "diversity": "no prompt has two images of one method and pair that can be read",
        "style_gram": "the encoder words has no feature maps: choose tower, pixels, dinov2 or vgg19 as gram",
        "base_preservation": "the encoder words has no feature maps: choose tower, pixels, dinov2 or vgg19 as gram",
    }
    pixels = load_encoder("pixels")
    found = measure_metrics(alone, references, folder / "images", Encoders(pixels, pixels, pixels, words)).not_measured
    assert found["controllability"] == "the manifest has no prompts"
    assert found["base_preservation"] == "there are no images of a method 'base': add the base model's own"
    named = [replace(item, prompt="sks") for item in alone]
    other = [replace(item, prompt="else") for item in items if item.method == "base"]
    encoders = Encoders(pixels, pixels, pixels, words)
    found = measure_metrics(
        [*named, *other], references, folder / "images", encoders, triggers=["sks", "else"]
    ).not_measured
    assert found["controllability"] == "no prompt has words left without its triggers"
    assert found["base_preservation"] == "no image has one of 'base' at the same pair, prompt and seed"
    found = measure_metrics(alone, references, folder / "images", Encoders(pixels, pixels, pixels)).not_measured
    assert found["controllability"] == "no encoder with texts was given: choose clip as text"


def test_hostile_images_are_counted_and_the_others_scored(tmp_path: Path) -> None:
    references, items = write_references(tmp_path), write_items(tmp_path, {"right": FAULTS["right"]})
    (tmp_path / "images" / items[0].path).write_text("no image")
    (tmp_path / "images" / items[1].path).unlink()
    items[2] = replace(items[2], path="../references/references.yaml")
    Image.new("RGB", (900, 9), "red").save(tmp_path / "images" / items[4].path)
    pixels = load_encoder("pixels")
    found = measure_metrics(items, references, tmp_path / "images", Encoders(pixels, pixels, pixels))
    reasons = ["expected a PNG", "cannot be opened", "below the root", None, "sides of at most 1 to 4"]
    for item, reason in zip(items, reasons, strict=False):
        assert (reason is None) == (item.id not in found.refused["image"])
        assert reason is None or reason in found.refused["image"][item.id]
    (method,) = found.groups[0].methods
    assert (method.images, method.refused) == (14, 4)
    assert "14 images scored, 4 refused" in found.describe()
    first = found.pairs[0].values
    assert math.isnan(first.get("content_cosine", math.nan))  # both images of the first pair
    scored = [image.values["content_cosine"] for image in found.images if not image.refused]
    assert method.scores["content_cosine"].mean == pytest.approx(np.mean(scored))  # type: ignore[union-attr]
    only = measure_metrics(items[:3], references, tmp_path / "images", Encoders(pixels, pixels, pixels))
    assert set(only.not_measured.values()) == {"no image could be read"}
    write_measurement(tmp_path / "out", only)


def test_unreadable_references_are_counted(tmp_path: Path) -> None:
    references, items = write_references(tmp_path), write_items(tmp_path, {"right": FAULTS["right"]}, seeds=1)
    first, *_ = references.concepts["style", items[0].style].images
    (tmp_path / "references" / first).write_text("no image")
    pixels = load_encoder("pixels")
    found = measure_metrics(items, references, tmp_path / "images", Encoders(pixels, pixels, pixels))
    assert list(found.refused["reference"]) == [first]
    assert math.isnan(found.pairs[0].values["style_cosine"])
    assert not math.isnan(found.pairs[1].values["style_cosine"])


def test_prompt_types_are_reported_apart_and_pairs_compared_only_where_all_methods_have_them(tmp_path: Path) -> None:
    references = write_references(tmp_path)
    items = write_items(tmp_path, {"right": FAULTS["right"], "leaked": FAULTS["leaked"]}, seeds=1, prompt_type="train")
    items += write_items(tmp_path, {"right": FAULTS["right"]}, seeds=1, prompt_type="alter")
    missing = next(item for item in items if item.method == "leaked")
    pixels = load_encoder("pixels")
    items.remove(missing)
    found = measure_metrics(items, references, tmp_path / "images", Encoders(pixels, pixels, pixels))
    assert [group.prompt_type for group in found.groups] == ["train", "alter"]  # the order of the prompt sets
    assert (
        found.groups[0].covers == "8 pairs of 3 contents and 3 styles; 1 pairs that not every method has are left out"
    )
    assert [method.images for method in found.groups[0].methods] == [8, 8]
    assert math.isnan(found.groups[1].methods[0].ranks["content_cosine"].overall)  # alone, without a rank


def test_one_content_gives_no_interval(references: References, folder: Path, items: list[Item]) -> None:
    pixels = load_encoder("pixels")
    alone = [item for item in items if item.content == items[0].content]
    (group,) = measure_metrics(alone, references, folder / "images", Encoders(pixels, pixels, pixels)).groups
    found = group.methods[0].scores["content_cosine"]
    assert found is not None
    assert math.isnan(found.low)
    assert "no intervals" in group.covers


def test_files_hold_what_was_measured(measured: Measurement, tmp_path: Path) -> None:
    told = write_measurement(tmp_path / "new", measured)
    assert str(tmp_path / "new" / "metrics.md") in told
    data = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert data["encoders"]["style"] == {"name": "pixels", "sha256": load_encoder("pixels").sha256, "resize": "scale"}
    assert data["groups"][0]["methods"][0]["ranks"] == {}
    assert data["not_measured"] == {}
    rows = list(csv.DictReader((tmp_path / "new" / "metrics.csv").read_text().splitlines()))
    assert len(rows) == len(measured.images)
    for row, image in zip(rows, measured.images, strict=True):
        assert float(row["content_cosine"]) == image.values["content_cosine"]
        assert [int(row[name]) for name in FLAGS] == [image.flags[name] for name in FLAGS]
    text = (tmp_path / "new" / "metrics.md").read_text()
    right = measured.groups[0].methods[2].scores["harmonic"]
    assert right is not None
    assert f"{right.mean:.3f} [{right.low:.3f}, {right.high:.3f}]" in text
    drawn = (tmp_path / "new" / "metrics_combined.svg").read_text()
    assert drawn.count("<circle") == sum(s is not None for m in measured.groups[0].methods for s in m.scores.values())


def test_names_do_not_become_markup(measured: Measurement, tmp_path: Path) -> None:
    evil = "=1|<script>x</script>"
    (group,) = measured.groups
    methods = [replace(method, method=evil) for method in group.methods]
    first = measured.images[0]
    renamed = [replace(first, item=replace(first.item, method=evil)), *measured.images[1:]]
    write_measurement(tmp_path, replace(measured, groups=[replace(group, methods=methods)], images=renamed))
    assert "<script" not in (tmp_path / "metrics.md").read_text() + (tmp_path / "metrics_combined.svg").read_text()
    assert r"=1\|&lt;script>" in (tmp_path / "metrics.md").read_text()
    assert f"'{evil}" in (tmp_path / "metrics.csv").read_text()


def test_a_configuration_is_run_and_its_features_are_kept(tmp_path: Path) -> None:
    write_references(tmp_path)
    items = write_items(tmp_path, FAULTS, seeds=1)
    write_manifest(tmp_path / "manifest.jsonl", items)
    given: dict[str, Any] = {
        "images": str(tmp_path / "images"),
        "references": str(tmp_path / "references" / "references.yaml"),
        "output": str(tmp_path / "out"),
        "cache": str(tmp_path / "cache"),
        "manifest": str(tmp_path / "manifest.jsonl"),
        "style": {"name": "pixels", "resize": "crop"},
    }
    path = tmp_path / "metrics.yaml"
    path.write_text(yaml.safe_dump(given))
    config = load_config(MetricsConfig, path, ["content.name=pixels", "gram={name: pixels}"])
    assert config.style.resize == "crop"
    encoders = load_encoders(config)
    assert encoders.content is encoders.gram
    assert encoders.content is not encoders.style
    assert "27 images scored, 0 refused" in run_metrics(config)
    first = (tmp_path / "out" / "metrics.json").read_bytes()
    assert "0 files encoded" in run_metrics(config)
    assert (tmp_path / "out" / "metrics.json").read_bytes() == first
    write_manifest(tmp_path / "out" / "manifest.jsonl", items[:9])  # as `lorarar judge plan` leaves it there
    assert "9 images scored" in run_metrics(replace(config, manifest=None))
    laid_out = replace(config, manifest=None, layout="{method}/{content}+{style}/{seed}-combined.png")
    assert "27 images scored" in run_metrics(laid_out)


def test_places(folder: Path, references: References) -> None:
    found = read_content_classes(folder / "references" / "references.yaml", references)
    assert list(found.values()) == [ContentClass("cat", "animals"), ContentClass("fish"), ContentClass("house")]
