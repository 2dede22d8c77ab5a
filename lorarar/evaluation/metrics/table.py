"""Table: every metric with its function, from the features of one method's images of one pair."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lorarar.datasets import Axis, Item
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray
from lorarar.evaluation.metrics.encoding import EncodedItems
from lorarar.evaluation.metrics.features import ImageFile
from lorarar.evaluation.metrics.measures import (
    Float64Array,
    centroid_distance,
    harmonic_mean,
    mean,
    normalise,
    vendi,
)
from lorarar.storage import Table

BaseKey = tuple[str, str, str, int, str]


@dataclass(frozen=True)
class PairFeatures:
    """The readable images of one method, content and style, with what their metrics are computed from.

    Attributes:
        items: The images, n of them.
        encoded: Features of all images and references.
        base: The method whose images come from the base model alone.
        base_grams: Gram vectors of that method's images.
    """

    items: Sequence[Item]
    encoded: EncodedItems
    base: str = "base"
    base_grams: Mapping[BaseKey, Float64Array] = field(default_factory=dict)

    @property
    def images(self) -> list[ImageFile]:
        """The images' files."""
        return [self.encoded.image(item) for item in self.items]

    @property
    def content(self) -> FeatureArray:
        """Features (n, d) of the images by the content encoder, not normalised."""
        return self.encoded.content.of(self.images)

    @property
    def style(self) -> FeatureArray:
        """Features (n, d) of the images by the style encoder."""
        return self.encoded.style.of(self.images)

    @property
    def content_references(self) -> FeatureArray:
        """Features (m, d) of the content's references by the content encoder; (0, 0) where none could be read."""
        return self.encoded.content.of(self.files_of("content"))

    @property
    def style_references(self) -> FeatureArray:
        """Features (m, d) of the style's references by the style encoder; (0, 0) where none could be read."""
        return self.encoded.style.of(self.files_of("style"))

    def files_of(self, axis: Axis) -> list[ImageFile]:
        """Return the files of the references of the content or the style."""
        return self.encoded.references_of(axis, getattr(self.items[0], axis))


@dataclass(frozen=True)
class Metric:
    """A metric of encoder features.

    Attributes:
        name: Name of its column.
        title: Name for display.
        better: The direction of a better value.
        call: Function of `PairFeatures` -> one value for each image, or for `whole` one value; NaN where it has none.
        whole: Whether it is a property of all images of a pair together, not a mean over single images.
        form: The format of its numbers; a Gram loss may be of any magnitude.
    """

    name: str
    title: str
    better: Literal["up", "down"]
    call: Callable[[PairFeatures], Sequence[float] | Float64Array | float]
    whole: bool = False
    form: str = ".3f"

    @property
    def sign(self) -> int:
        """The factor, 1 or -1, after which a larger value is better."""
        return 1 if self.better == "up" else -1


def _content_cosine(pair: PairFeatures) -> list[float]:
    return _mean_cosines(pair.content, pair.content_references)


def _style_cosine(pair: PairFeatures) -> list[float]:
    return _mean_cosines(pair.style, pair.style_references)


def _mean_cosines(images: FeatureArray, references: FeatureArray) -> list[float]:
    """Return the mean cosine of each image with the references; the mean over images is `measures.cosine_fidelity`."""
    if not len(references):
        return [math.nan] * len(images)
    return list(normalise(images) @ normalise(references).mean(axis=0))


def _content_centroid(pair: PairFeatures) -> float:
    references = pair.content_references
    return centroid_distance(pair.content, references) if len(references) else math.nan


def _style_centroid(pair: PairFeatures) -> float:
    references = pair.style_references
    return centroid_distance(pair.style, references) if len(references) else math.nan


def _style_gram(pair: PairFeatures) -> list[float]:
    """Return the mean Gram loss of each image against the references of the style."""
    grams = pair.encoded.grams
    rows = [] if grams is None else [grams.rows[file] for file in pair.files_of("style") if file in grams.rows]
    if grams is None or not rows:
        return [math.nan] * len(pair.items)
    return [mean(_squared_distance(grams.rows[image], row) for row in rows) for image in pair.images]


def _harmonic(pair: PairFeatures) -> Float64Array:
    return harmonic_mean(_content_cosine(pair), _style_cosine(pair))


def _controllability(pair: PairFeatures) -> list[float]:
    """Return the cosine of each image with its prompt; the mean over images is controllability."""
    text, texts = pair.encoded.text, pair.encoded.texts
    values = []
    for item, image in zip(pair.items, pair.images, strict=True):
        if text is None or item.prompt not in texts:
            values.append(math.nan)
        else:
            values.append(float(normalise(text.of([image]))[0] @ texts[item.prompt]))
    return values


def _diversity(pair: PairFeatures) -> float:
    """Return the Vendi score of the images of each prompt, averaged over the prompts with two images or more."""
    by_prompt: dict[str, list[ImageFile]] = defaultdict(list)
    for item in pair.items:
        by_prompt[item.prompt].append(pair.encoded.image(item))
    return mean(vendi(pair.encoded.content.of(images)) for images in by_prompt.values() if len(images) > 1)


def _base_preservation(pair: PairFeatures) -> list[float]:
    """Return the Gram loss of each image against the image of the base model alone."""
    grams, values = pair.encoded.grams, []
    for item, image in zip(pair.items, pair.images, strict=True):
        key = base_key(item)
        if item.method == pair.base or grams is None or key not in pair.base_grams:
            values.append(math.nan)
        else:
            values.append(_squared_distance(grams.rows[image], pair.base_grams[key]))
    return values


def base_key(item: Item) -> BaseKey:
    """Return what an image shares with the image of the base model alone that it is compared with."""
    return item.content, item.style, item.prompt, item.seed, item.prompt_type


def _squared_distance(a: FeatureArray | Float64Array, b: FeatureArray | Float64Array) -> float:
    difference = a.astype(np.float64) - b
    return float(difference @ difference)


METRICS: Table[Metric] = Table(
    "METRICS",
    Metric,
    "a metric",
    [
        Metric("content_cosine", "content fidelity, cosine", "up", _content_cosine),
        Metric("content_centroid", "content fidelity, centroid", "down", _content_centroid, whole=True),
        Metric("style_cosine", "style fidelity, cosine", "up", _style_cosine),
        Metric("style_centroid", "style fidelity, centroid", "down", _style_centroid, whole=True),
        Metric("style_gram", "style fidelity, Gram", "down", _style_gram, form=".4g"),
        Metric("harmonic", "content and style, harmonic mean", "up", _harmonic),
        Metric("controllability", "controllability", "up", _controllability),
        Metric("diversity", "diversity, Vendi", "up", _diversity, whole=True),
        Metric("base_preservation", "base preservation, Gram", "down", _base_preservation, form=".4g"),
    ],
)
