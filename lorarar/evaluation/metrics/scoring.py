"""From features to scores of images and of pairs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lorarar.datasets import AXES, Axis, Item
from lorarar.evaluation.metrics.features import Features, Picture
from lorarar.evaluation.metrics.flags import flag_copies, flag_unstylised
from lorarar.evaluation.metrics.images_seen import Seen
from lorarar.evaluation.metrics.measures import (
    Array,
    centroid_distance,
    harmonic_mean,
    normalise,
    vendi,
)

Values = dict[str, float]
_BaseKey = tuple[str, str, str, int, str]


@dataclass(frozen=True)
class ImageScores:
    """What is known of one image.

    Attributes:
        values: by metric, those that are means over images; NaN or missing where one was not measured.
        flags: by name; missing where there is no way to tell.
        refused: why the image could not be read; it then has no values.
    """

    item: Item
    values: Values = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True)
class PairScores:
    """What is known of the images of one method, prompt type, content and style.

    Attributes:
        values: all metrics; NaN where one was not measured.
    """

    method: str
    prompt_type: str
    content: str
    style: str
    values: Values


def score_all(items: Sequence[Item], seen: Seen, *, base: str = "base") -> tuple[list[ImageScores], list[PairScores]]:
    """Scores of images, in the items' order, and of pairs, sorted.

    Args:
        base: the method whose images are the base model's own: those at the same pair, prompt and seed are what
            base preservation is measured against.
    """
    of_base = _base_grams(items, seen, base)
    groups: dict[tuple[str, str, str, str], list[Item]] = defaultdict(list)
    for item in items:
        groups[item.method, item.prompt_type, item.content, item.style].append(item)
    scored: dict[str, ImageScores] = {}
    pairs = []
    for key, members in sorted(groups.items()):
        good = [item for item in members if not seen.refusal(seen.picture(item))]
        images = _score_images(good, seen, of_base, base) if good else []
        scored |= {image.item.id: image for image in images}
        pairs.append(PairScores(*key, _means(images) | (_score_set(good, seen) if good else {})))
    refused = {item.id: ImageScores(item, refused=seen.refusal(seen.picture(item))) for item in items}
    return [scored.get(item.id, refused[item.id]) for item in items], pairs


def _score_images(items: Sequence[Item], seen: Seen, of_base: Mapping[_BaseKey, Array], base: str) -> list[ImageScores]:
    """Images of one pair."""
    pictures, first = [seen.picture(item) for item in items], items[0]
    values = {
        "content_cosine": _cosines(seen.content, pictures, seen.shown("content", first.content)),
        "style_cosine": _cosines(seen.style, pictures, seen.shown("style", first.style)),
        "style_gram": _gram_losses(seen.grams, pictures, seen.shown("style", first.style)),
        "controllability": [_controllability(item, seen) for item in items],
        "base_preservation": [math.nan if i.method == base else _preservation(i, seen, of_base) for i in items],
    }
    values["harmonic"] = list(harmonic_mean(values["content_cosine"], values["style_cosine"]))
    flags = _flags(seen, pictures, first)
    return [
        ImageScores(
            item,
            {name: float(found[place]) for name, found in values.items()},
            {name: bool(found[place]) for name, found in flags.items()},
        )
        for place, item in enumerate(items)
    ]


def _score_set(items: Sequence[Item], seen: Seen) -> Values:
    """What all images of one pair have together."""
    pictures, found = [seen.picture(item) for item in items], {}
    named: tuple[tuple[Axis, Features], ...] = (("content", seen.content), ("style", seen.style))
    for axis, features in named:
        references = features.of(seen.shown(axis, getattr(items[0], axis)))
        found[f"{axis}_centroid"] = (
            centroid_distance(features.of(pictures), references) if len(references) else math.nan
        )
    return found | {"diversity": _diversity(items, seen)}


def _diversity(items: Sequence[Item], seen: Seen) -> float:
    """The Vendi score of the images of each prompt, averaged over prompts; those with a single image say nothing."""
    by_prompt: dict[str, list[Picture]] = defaultdict(list)
    for item in items:
        by_prompt[item.prompt].append(seen.picture(item))
    return _mean(vendi(seen.content.of(pictures)) for pictures in by_prompt.values() if len(pictures) > 1)


def _cosines(features: Features, pictures: Sequence[Picture], shown: Sequence[Picture]) -> list[float]:
    """The mean cosine of each picture with the references: their mean is `measures.cosine_fidelity`."""
    references = features.of(shown)
    if not len(references):
        return [math.nan] * len(pictures)
    return list(normalise(features.of(pictures)) @ normalise(references).mean(axis=0))


def _gram_losses(grams: Features | None, pictures: Sequence[Picture], shown: Sequence[Picture]) -> list[float]:
    """The mean Gram loss of each picture against the references."""
    references = [] if grams is None else [grams.rows[picture] for picture in shown if picture in grams.rows]
    if grams is None or not references:
        return [math.nan] * len(pictures)
    return [_mean(_squared(grams.rows[picture], reference) for reference in references) for picture in pictures]


def _controllability(item: Item, seen: Seen) -> float:
    if seen.text is None or item.prompt not in seen.texts:
        return math.nan
    image = normalise(seen.text.of([seen.picture(item)]))[0]
    return float(image @ seen.texts[item.prompt])


def _preservation(item: Item, seen: Seen, of_base: Mapping[_BaseKey, Array]) -> float:
    of_item = _base_key(item)
    if seen.grams is None or of_item not in of_base:
        return math.nan
    return _squared(seen.grams.rows[seen.picture(item)], of_base[of_item])


def _base_grams(items: Iterable[Item], seen: Seen, base: str) -> dict[_BaseKey, Array]:
    rows = {} if seen.grams is None else seen.grams.rows
    named = ((_base_key(item), rows.get(seen.picture(item))) for item in items if item.method == base)
    return {key: row.astype(np.float64) for key, row in named if row is not None}


def _base_key(item: Item) -> _BaseKey:
    return item.content, item.style, item.prompt, item.seed, item.prompt_type


def _flags(seen: Seen, pictures: Sequence[Picture], item: Item) -> dict[str, Sequence[bool]]:
    found: dict[str, Sequence[bool]] = {}
    images = seen.content.of(pictures)
    names: dict[Axis, str] = {"style": "content_leak", "content": "copy"}
    for axis in AXES:
        references = seen.content.of(seen.shown(axis, getattr(item, axis)))
        if seen.threshold is not None and len(references):
            found[names[axis]] = list(flag_copies(images, references, seen.threshold))
    contents, styles = (
        seen.style.of(seen.shown("content", item.content)),
        seen.style.of(seen.shown("style", item.style)),
    )
    if len(contents) and len(styles):
        found["unstylised"] = list(flag_unstylised(seen.style.of(pictures), contents, styles))
    return found


def _means(images: Sequence[ImageScores]) -> Values:
    names = sorted({name for image in images for name in image.values})
    return {name: _mean(v for i in images if not math.isnan(v := i.values.get(name, math.nan))) for name in names}


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found) if found else math.nan


def _squared(a: np.ndarray, b: np.ndarray) -> float:
    difference = a.astype(np.float64) - b
    return float(difference @ difference)
