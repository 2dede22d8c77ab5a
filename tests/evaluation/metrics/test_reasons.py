"""Reasons for metrics that were not measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lorarar.datasets.records import Item
from lorarar.datasets.references import References
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.run import (
    measure_metrics,
)
from tests.evaluation.metrics.hash_encoder import HashEncoder


def test_gaps_have_reasons(references: References, toy_folder: Path, items: list[Item]) -> None:
    tower, hashes = load_encoder("tower"), HashEncoder()
    alone = [replace(item, prompt="") for item in items if item.method == "right" and item.seed == 0]
    reasons = measure_metrics(
        alone, references, toy_folder / "images", Encoders(tower, tower, hashes, tower)
    ).not_measured
    assert reasons == {
        "controllability": "the encoder tower cannot encode texts: choose clip as text",
        "diversity": "no prompt has two readable images of one method and pair",
        "style_gram": "the encoder hashes has no feature maps: choose tower, pixels, dinov2 or vgg19 as gram",
        "base_preservation": "the encoder hashes has no feature maps: choose tower, pixels, dinov2 or vgg19 as gram",
    }
    pixels = load_encoder("pixels")
    reasons = measure_metrics(
        alone, references, toy_folder / "images", Encoders(pixels, pixels, pixels, hashes)
    ).not_measured
    assert reasons["controllability"] == "the manifest has no prompts"
    assert reasons["base_preservation"] == "there are no images of a method 'base': add images of the base model alone"
    named = [replace(item, prompt="sks") for item in alone]
    other = [replace(item, prompt="else") for item in items if item.method == "base"]
    encoders = Encoders(pixels, pixels, pixels, hashes)
    reasons = measure_metrics(
        [*named, *other], references, toy_folder / "images", encoders, triggers=["sks", "else"]
    ).not_measured
    assert reasons["controllability"] == "every prompt is empty without its triggers"
    assert reasons["base_preservation"] == "no image has one of 'base' at the same pair, prompt and seed"
    reasons = measure_metrics(alone, references, toy_folder / "images", Encoders(pixels, pixels, pixels)).not_measured
    assert reasons["controllability"] == "the configuration names no text encoder: choose clip as text"
