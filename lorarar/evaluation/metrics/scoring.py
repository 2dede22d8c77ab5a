"""Scoring: from features to the scores of images and of pairs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lorarar.datasets import AXES, Axis, Item
from lorarar.evaluation.metrics.encoding import EncodedItems
from lorarar.evaluation.metrics.features import ImageFile
from lorarar.evaluation.metrics.flags import flag_copies, flag_unstylised
from lorarar.evaluation.metrics.measures import Float64Array, mean
from lorarar.evaluation.metrics.table import METRICS, BaseKey, PairFeatures, base_key

_COPY_FLAGS: dict[Axis, str] = {"style": "content_leak", "content": "copy"}


@dataclass(frozen=True)
class ImageScores:
    """The scores of one image.

    Attributes:
        item: The image.
        values: By metric, those that are means over images; NaN or missing where one was not measured.
        flags: By name; missing where the flag is undefined.
        refused: Why the image could not be read. It then has no values.
    """

    item: Item
    values: dict[str, float] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True)
class PairScores:
    """The scores of the images of one method, prompt type, content and style.

    Attributes:
        method: Name of the method.
        prompt_type: Type of the prompts.
        content: Name of the content.
        style: Name of the style.
        values: All metrics; NaN where one was not measured.
    """

    method: str
    prompt_type: str
    content: str
    style: str
    values: dict[str, float]


def score_all(
    items: Sequence[Item], encoded: EncodedItems, *, base: str = "base"
) -> tuple[list[ImageScores], list[PairScores]]:
    """Score images and pairs.

    Args:
        items: The images.
        encoded: Their features and those of the references.
        base: The method whose images come from the base model alone. Base preservation compares an image with the
            image of this method at the same pair, prompt and seed.

    Returns:
        Scores of the images in the order of the items, and scores of the pairs, sorted.
    """
    base_grams = _base_grams(items, encoded, base)
    groups: dict[tuple[str, str, str, str], list[Item]] = defaultdict(list)
    for item in items:
        groups[item.method, item.prompt_type, item.content, item.style].append(item)
    scores: dict[str, ImageScores] = {}
    pairs = []
    for key, members in sorted(groups.items()):
        readable = [item for item in members if not encoded.refusal(encoded.image(item))]
        pair = PairFeatures(readable, encoded, base, base_grams)
        images = _score_images(pair) if readable else []
        scores |= {image.item.id: image for image in images}
        pairs.append(PairScores(*key, _means(images) | (_score_set(pair) if readable else {})))
    for item in items:
        scores.setdefault(item.id, ImageScores(item, refused=encoded.refusal(encoded.image(item))))
    return [scores[item.id] for item in items], pairs


def _score_images(pair: PairFeatures) -> list[ImageScores]:
    """Score the images of one pair."""
    values: dict[str, Sequence[float] | Float64Array] = {}
    for name, metric in METRICS.items():
        if not metric.whole:
            found = metric.call(pair) if _is_measurable(name, pair) else [math.nan] * len(pair.items)
            values[name] = np.broadcast_to(np.asarray(found, np.float64), len(pair.items))
    flags = _flags(pair.encoded, pair.images, pair.items[0])
    return [
        ImageScores(
            item,
            {name: float(of_images[index]) for name, of_images in values.items()},
            {name: bool(of_images[index]) for name, of_images in flags.items()},
        )
        for index, item in enumerate(pair.items)
    ]


def _score_set(pair: PairFeatures) -> dict[str, float]:
    """Score the images of one pair as a set."""
    whole = {name: metric for name, metric in METRICS.items() if metric.whole}
    return {
        name: float(np.asarray(metric.call(pair))) if _is_measurable(name, pair) else math.nan
        for name, metric in whole.items()
    }


def _is_measurable(name: str, pair: PairFeatures) -> bool:
    """Return whether a metric can be computed; that of a plugin needs references of both concepts."""
    return name in METRICS.own() or bool(len(pair.content_references) and len(pair.style_references))


def _base_grams(items: Iterable[Item], encoded: EncodedItems, base: str) -> dict[BaseKey, Float64Array]:
    rows = {} if encoded.grams is None else encoded.grams.rows
    grams = {}
    for item in items:
        row = rows.get(encoded.image(item)) if item.method == base else None
        if row is not None:
            grams[base_key(item)] = row.astype(np.float64)
    return grams


def _flags(encoded: EncodedItems, images: Sequence[ImageFile], first: Item) -> dict[str, Sequence[bool]]:
    """Return the flags of the images of one pair, by name."""
    flags: dict[str, Sequence[bool]] = {}
    rows = encoded.content.of(images)
    for axis in AXES:
        references = encoded.content.of(encoded.references_of(axis, getattr(first, axis)))
        if encoded.threshold is not None and len(references):
            flags[_COPY_FLAGS[axis]] = list(flag_copies(rows, references, encoded.threshold))
    contents = encoded.style.of(encoded.references_of("content", first.content))
    styles = encoded.style.of(encoded.references_of("style", first.style))
    if len(contents) and len(styles):
        flags["unstylised"] = list(flag_unstylised(encoded.style.of(images), contents, styles))
    return flags


def _means(images: Sequence[ImageScores]) -> dict[str, float]:
    """Return the mean of each metric over the images that have it."""
    means = {}
    for name in sorted({name for image in images for name in image.values}):
        means[name] = mean(image.values.get(name, math.nan) for image in images)
    return means
