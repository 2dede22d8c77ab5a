"""Run of `lorarar metrics`: from a configuration to metrics.json, metrics.csv, metrics.md and plots."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorarar.datasets import (
    Item,
    References,
    build_items,
    check_items,
    load_references,
    lock_items,
    read_entries,
    read_manifest,
)
from lorarar.evaluation.metrics.distribution import distribute_features
from lorarar.evaluation.metrics.encoders.choice import EncoderChoice
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import VisionEncoder
from lorarar.evaluation.metrics.encoding import Encoders, describe_cut, encode_items
from lorarar.evaluation.metrics.export import Measurement, write_measurement
from lorarar.evaluation.metrics.ranking import ContentClass
from lorarar.evaluation.metrics.reasons import explain_gaps
from lorarar.evaluation.metrics.results import summarise_methods
from lorarar.evaluation.metrics.scoring import score_all
from lorarar.evaluation.metrics.settings import MetricsConfig
from lorarar.evaluation.metrics.unlike import check_unlike, count_unlike
from lorarar.storage import check_inputs


def run_metrics(config: MetricsConfig) -> str:
    """Measure the images that a configuration names, and write the results.

    Returns:
        A few lines of text that summarise the results.

    Raises:
        FileNotFoundError: A path of the configuration does not exist.
        ValueError: The images, names, references or encoders are wrong, or an encoder does not know such images.
    """
    check_inputs(config)
    references = load_references(config.references, root=config.reference_root, splits=config.splits)
    if config.layout:
        items = build_items(config.images, config.layout, references, ignore=config.ignore)
    else:
        items = read_manifest(config.manifest or config.output / "manifest.jsonl")
    encoders = load_encoders(config)
    if config.engine != "local":
        distribute_features(config, items, references, encoders, load_encoders)
    measurement = measure_metrics(
        items,
        references,
        config.images,
        encoders,
        triggers=config.triggers,
        base=config.base,
        content_classes=read_content_classes(config.references, references),
        cache=config.cache,
        allow_unlike_images=config.allow_unlike_images,
    )
    return write_measurement(config.output, measurement)


def measure_metrics(
    items: Sequence[Item],
    references: References,
    root: Path,
    encoders: Encoders,
    *,
    triggers: Sequence[str] = (),
    base: str = "base",
    content_classes: Mapping[str, ContentClass] | None = None,
    cache: Path | None = None,
    allow_unlike_images: bool = False,
) -> Measurement:
    """Measure all metrics of some images. Images that cannot be read are counted with a reason.

    Args:
        items: The images.
        references: The concepts and their images.
        root: Folder that the paths of the items are relative to.
        encoders: The encoder of each metric.
        triggers: Words that are removed from prompts.
        base: The method whose images come from the base model alone.
        content_classes: The class of each content; by default its phrase, all in one category.
        cache: Folder of features; None caches nothing.
        allow_unlike_images: Whether an encoder may measure images unlike those that it knows.

    Raises:
        ValueError: The manifest is refused, see `lorarar.datasets.manifest.check_items`, or most images or references
            are unlike those that an encoder knows.

    Warns:
        UserWarning: Prompts are longer than the text encoder reads.
    """
    check_items(items, references)
    start = time.perf_counter()
    locked = lock_items(items, root)
    encoded = encode_items(locked, references, root, encoders, triggers=triggers, cache=cache)
    unlike = count_unlike(locked, encoded, encoders)
    check_unlike(unlike, allowed=allow_unlike_images)
    if encoded.cut:
        warnings.warn(describe_cut(len(encoded.cut), encoders.text), stacklevel=2)
    images, pairs = score_all(locked, encoded, base=base)
    classes = content_classes or _default_classes(references)
    refusals = encoded.content.refused
    return Measurement(
        items=locked,
        encoders=encoders.by_part(),
        images=images,
        pairs=pairs,
        groups=summarise_methods(images, pairs, classes, base=base),
        not_measured=explain_gaps(locked, images, pairs, encoders, base),
        refused={
            "image": {image.item.id: image.refused for image in images if image.refused},
            "reference": {file.path: reason for file, reason in refusals.items() if file.root == references.root},
        },
        threshold=encoded.threshold,
        unlike=unlike,
        cut_prompts=len(encoded.cut),
        computed=encoded.content.computed,
        cached=encoded.content.cached,
        seconds=time.perf_counter() - start,
    )


def load_encoders(config: MetricsConfig) -> Encoders:
    """Load the encoders of a configuration; equal choices share one encoder."""
    loaded: dict[EncoderChoice, VisionEncoder] = {}

    def load_once(choice: EncoderChoice) -> VisionEncoder:
        if choice not in loaded:
            loaded[choice] = load_encoder(choice.name, resize=choice.resize, path=choice.path, device=config.device)
        return loaded[choice]

    content, style, gram = (load_once(choice) for choice in (config.content, config.style, config.gram))
    return Encoders(content, style, gram, load_once(config.text) if config.text else None)


def read_content_classes(path: Path, references: References) -> dict[str, ContentClass]:
    """Read the class of each content: its phrase in questions, and its `category` where the file has one.

    Args:
        path: The YAML file of the references.
        references: The references that were loaded from it.
    """
    categories = {
        entry["name"]: str(entry["category"])
        for entry in read_entries(path)
        if entry["kind"] == "content" and "category" in entry
    }
    return {
        name: ContentClass(default.class_, categories.get(name, default.category))
        for name, default in _default_classes(references).items()
    }


def _default_classes(references: References) -> dict[str, ContentClass]:
    return {
        name: ContentClass(concept.phrase) for (axis, name), concept in references.concepts.items() if axis == "content"
    }
