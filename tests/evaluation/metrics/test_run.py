"""A run from a configuration; images that cannot be read are counted."""

from __future__ import annotations

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
from lorarar.evaluation.metrics.distribution import distribute_features
from lorarar.evaluation.metrics.encoders.choice import EncoderChoice
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.export import write_measurement
from lorarar.evaluation.metrics.ranking import ContentClass
from lorarar.evaluation.metrics.run import (
    load_encoders,
    measure_metrics,
    read_content_classes,
    run_metrics,
)
from lorarar.evaluation.metrics.settings import MetricsConfig
from lorarar.storage.config import load_config
from tests.evaluation.metrics.toy import FAULTS, write_items, write_references


def test_hostile_images_are_counted_and_the_others_scored(tmp_path: Path) -> None:
    references, items = write_references(tmp_path), write_items(tmp_path, {"right": FAULTS["right"]})
    (tmp_path / "images" / items[0].path).write_text("no image")
    (tmp_path / "images" / items[1].path).unlink()
    items[2] = replace(items[2], path="../references/references.yaml")
    Image.new("RGB", (900, 9), "red").save(tmp_path / "images" / items[4].path)
    pixels = load_encoder("pixels")
    measurement = measure_metrics(items, references, tmp_path / "images", Encoders(pixels, pixels, pixels))
    reasons = ["expected a PNG", "cannot be opened", "below the root", None, "sides of at most 1 to 4"]
    for item, reason in zip(items, reasons, strict=False):
        assert (reason is None) == (item.id not in measurement.refused["image"])
        assert reason is None or reason in measurement.refused["image"][item.id]
    (method,) = measurement.groups[0].methods
    assert (method.images, method.refused) == (14, 4)
    assert "14 images scored, 4 refused" in measurement.describe()
    first = measurement.pairs[0].values
    assert math.isnan(first.get("content_cosine", math.nan))  # both images of the first pair
    scored = [image.values["content_cosine"] for image in measurement.images if not image.refused]
    assert method.scores["content_cosine"].mean == pytest.approx(np.mean(scored))  # type: ignore[union-attr]
    only = measure_metrics(items[:3], references, tmp_path / "images", Encoders(pixels, pixels, pixels))
    assert set(only.not_measured.values()) == {"no image could be read"}
    write_measurement(tmp_path / "out", only)


def test_unreadable_references_are_counted(tmp_path: Path) -> None:
    references, items = write_references(tmp_path), write_items(tmp_path, {"right": FAULTS["right"]}, seeds=1)
    first, *_ = references.concepts["style", items[0].style].images
    (tmp_path / "references" / first).write_text("no image")
    pixels = load_encoder("pixels")
    measurement = measure_metrics(items, references, tmp_path / "images", Encoders(pixels, pixels, pixels))
    assert list(measurement.refused["reference"]) == [first]
    assert math.isnan(measurement.pairs[0].values["style_cosine"])
    assert not math.isnan(measurement.pairs[1].values["style_cosine"])


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_run_reads_the_features_that_units_computed(tmp_path: Path) -> None:
    references, items = write_references(tmp_path), write_items(tmp_path, FAULTS, seeds=1)
    pixels = EncoderChoice("pixels")
    config = MetricsConfig(
        images=tmp_path / "images",
        references=tmp_path / "references" / "references.yaml",
        output=tmp_path / "out",
        manifest=tmp_path / "manifest.jsonl",
        content=pixels,
        style=EncoderChoice("pixels", resize="crop"),
        gram=pixels,
        cache=tmp_path / "cache",
    )
    write_manifest(tmp_path / "manifest.jsonl", items)
    distribute_features(config, items, references, load_encoders(config), load_encoders)
    assert "0 files encoded" in run_metrics(config)


def test_content_classes_are_read(toy_folder: Path, references: References) -> None:
    classes = read_content_classes(toy_folder / "references" / "references.yaml", references)
    assert list(classes.values()) == [ContentClass("cat", "animals"), ContentClass("fish"), ContentClass("house")]


def test_prompts_that_the_text_encoder_cuts_are_counted_and_told(
    toy_folder: Path, references: References, items: list[Item], clip: Path
) -> None:
    pixels, text = load_encoder("pixels"), load_encoder("clip", path=clip, device="cpu")
    prompts = ["a red cat in ink style", "a red cat in ink style " * 3, "a red cat in ink style " * 3]
    chosen = [replace(item, prompt=prompt) for item, prompt in zip(items, prompts, strict=False)]
    encoders = Encoders(pixels, pixels, pixels, text)
    told = "1 prompt is longer than the 8 tokens that the text encoder 'clip' reads"
    with pytest.warns(UserWarning, match=told):
        measurement = measure_metrics(chosen, references, toy_folder / "images", encoders)
    assert measurement.cut_prompts == 1  # two images share it
    assert told in measurement.describe()
    measure_metrics(chosen[:1], references, toy_folder / "images", encoders)  # no warning
