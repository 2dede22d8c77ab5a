"""Scoring: from features to the scores of images and of pairs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lorarar.datasets import AXES, Axis, Item
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray
from lorarar.evaluation.metrics.encoding import EncodedItems
from lorarar.evaluation.metrics.features import Features, ImageFile
from lorarar.evaluation.metrics.flags import flag_copies, flag_unstylised
from lorarar.evaluation.metrics.measures import (
    Float64Array,
    centroid_distance,
    harmonic_mean,
    mean,
    normalise,
    vendi,
)

_BaseKey = tuple[str, str, str, int, str]
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
        images = _score_images(readable, encoded, base_grams, base) if readable else []
        scores |= {image.item.id: image for image in images}
        pairs.append(PairScores(*key, _means(images) | (_score_set(readable, encoded) if readable else {})))
    for item in items:
        scores.setdefault(item.id, ImageScores(item, refused=encoded.refusal(encoded.image(item))))
    return [scores[item.id] for item in items], pairs


def _score_images(
    items: Sequence[Item], encoded: EncodedItems, base_grams: Mapping[_BaseKey, Float64Array], base: str
) -> list[ImageScores]:
    """Score the images of one pair."""
    images, first = [encoded.image(item) for item in items], items[0]
    contents = encoded.references_of("content", first.content)
    styles = encoded.references_of("style", first.style)
    values: dict[str, Sequence[float]] = {
        "content_cosine": _mean_cosines(encoded.content, images, contents),
        "style_cosine": _mean_cosines(encoded.style, images, styles),
        "style_gram": _gram_losses(encoded.grams, images, styles),
        "controllability": [_controllability(item, encoded) for item in items],
        "base_preservation": [
            math.nan if item.method == base else _base_preservation(item, encoded, base_grams) for item in items
        ],
    }
    values["harmonic"] = list(harmonic_mean(values["content_cosine"], values["style_cosine"]))
    flags = _flags(encoded, images, first)
    return [
        ImageScores(
            item,
            {name: float(of_images[index]) for name, of_images in values.items()},
            {name: bool(of_images[index]) for name, of_images in flags.items()},
        )
        for index, item in enumerate(items)
    ]


def _score_set(items: Sequence[Item], encoded: EncodedItems) -> dict[str, float]:
    """Score the images of one pair as a set."""
    images, values = [encoded.image(item) for item in items], {}
    parts: tuple[tuple[Axis, Features], ...] = (("content", encoded.content), ("style", encoded.style))
    for axis, features in parts:
        references = features.of(encoded.references_of(axis, getattr(items[0], axis)))
        values[f"{axis}_centroid"] = centroid_distance(features.of(images), references) if len(references) else math.nan
    return values | {"diversity": _diversity(items, encoded)}


def _diversity(items: Sequence[Item], encoded: EncodedItems) -> float:
    """Return the Vendi score of the images of each prompt, averaged over the prompts with two images or more."""
    by_prompt: dict[str, list[ImageFile]] = defaultdict(list)
    for item in items:
        by_prompt[item.prompt].append(encoded.image(item))
    return mean(vendi(encoded.content.of(images)) for images in by_prompt.values() if len(images) > 1)


def _mean_cosines(features: Features, images: Sequence[ImageFile], references: Sequence[ImageFile]) -> list[float]:
    """Return the mean cosine of each image with the references; the mean over images is `measures.cosine_fidelity`."""
    rows = features.of(references)
    if not len(rows):
        return [math.nan] * len(images)
    return list(normalise(features.of(images)) @ normalise(rows).mean(axis=0))


def _gram_losses(grams: Features | None, images: Sequence[ImageFile], references: Sequence[ImageFile]) -> list[float]:
    """Return the mean Gram loss of each image against the references."""
    rows = [] if grams is None else [grams.rows[file] for file in references if file in grams.rows]
    if grams is None or not rows:
        return [math.nan] * len(images)
    return [mean(_squared_distance(grams.rows[image], row) for row in rows) for image in images]


def _controllability(item: Item, encoded: EncodedItems) -> float:
    """Return the cosine of an image with its prompt; the mean over images is controllability."""
    if encoded.text is None or item.prompt not in encoded.texts:
        return math.nan
    image = normalise(encoded.text.of([encoded.image(item)]))[0]
    return float(image @ encoded.texts[item.prompt])


def _base_preservation(item: Item, encoded: EncodedItems, base_grams: Mapping[_BaseKey, Float64Array]) -> float:
    """Return the Gram loss of an image against the image of the base model alone."""
    key = _base_key(item)
    if encoded.grams is None or key not in base_grams:
        return math.nan
    return _squared_distance(encoded.grams.rows[encoded.image(item)], base_grams[key])


def _base_grams(items: Iterable[Item], encoded: EncodedItems, base: str) -> dict[_BaseKey, Float64Array]:
    rows = {} if encoded.grams is None else encoded.grams.rows
    grams = {}
    for item in items:
        row = rows.get(encoded.image(item)) if item.method == base else None
        if row is not None:
            grams[_base_key(item)] = row.astype(np.float64)
    return grams


def _base_key(item: Item) -> _BaseKey:
    return item.content, item.style, item.prompt, item.seed, item.prompt_type


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


def _squared_distance(a: FeatureArray | Float64Array, b: FeatureArray | Float64Array) -> float:
    difference = a.astype(np.float64) - b
    return float(difference @ difference)
