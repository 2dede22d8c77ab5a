"""Results of methods: means over images and pairs with intervals, ranks and shares of flagged images."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lorarar.datasets import PROMPT_TYPES
from lorarar.evaluation.metrics.measures import Float64Array, mean
from lorarar.evaluation.metrics.ranking import ContentClass, RankScores, rank_methods
from lorarar.evaluation.metrics.scoring import ImageScores, PairScores
from lorarar.evaluation.metrics.table import METRICS
from lorarar.evaluation.report.flag_names import FLAGS
from lorarar.evaluation.statistics.intervals import Estimate, incomplete_crossed_interval
from lorarar.evaluation.statistics.proportions import Rate

_PairKey = tuple[str, str]
_Slot = tuple[str, int, int]


@dataclass(frozen=True)
class MethodMetrics:
    """The results of one method on the common pairs of one prompt type.

    Attributes:
        method: Name of the method.
        images: Number of images that were scored.
        refused: Number of images that could not be read.
        scores: By metric, the mean over contents and styles; None where it was not measured.
        classes: Means by the class of the content and by metric.
        rank_scores: By metric; empty for the base, which does not compete.
        flags: By flag, how many of how many images.
    """

    method: str
    images: int
    refused: int
    scores: dict[str, Estimate | None]
    classes: dict[str, dict[str, float]]
    rank_scores: dict[str, RankScores]
    flags: dict[str, Rate]


@dataclass(frozen=True)
class PromptTypeResults:
    """The results of all methods on the images of one prompt type.

    Attributes:
        prompt_type: The prompt type.
        covers: What the intervals cover, as text.
        methods: Results of the methods, sorted by name.
    """

    prompt_type: str
    covers: str
    methods: list[MethodMetrics]


def summarise_methods(
    images: Sequence[ImageScores],
    pairs: Sequence[PairScores],
    content_classes: Mapping[str, ContentClass],
    *,
    base: str = "base",
) -> list[PromptTypeResults]:
    """Summarise the scores of each prompt type separately.

    Only pairs that every method has are used. The base is not compared with other methods, and its pairs do not count
    for this choice.

    Args:
        images: Scores of the images.
        pairs: Scores of the pairs.
        content_classes: The class of each content, by name.
        base: The method whose images come from the base model alone.
    """
    types = sorted({pair.prompt_type for pair in pairs}, key=PROMPT_TYPES.index)
    return [
        _summarise_type(
            prompt_type,
            [image for image in images if image.item.prompt_type == prompt_type],
            [pair for pair in pairs if pair.prompt_type == prompt_type],
            content_classes,
            base,
        )
        for prompt_type in types
    ]


def _summarise_type(
    prompt_type: str,
    images: Sequence[ImageScores],
    pairs: Sequence[PairScores],
    content_classes: Mapping[str, ContentClass],
    base: str,
) -> PromptTypeResults:
    common, left_out = _common_pairs(pairs, base)
    used = [pair for pair in pairs if (pair.content, pair.style) in common]
    ranks = rank_methods([pair for pair in used if pair.method != base], content_classes)
    by_method: dict[str, list[ImageScores]] = defaultdict(list)
    for image in images:
        if (image.item.content, image.item.style) in common:
            by_method[image.item.method].append(image)
    methods = [
        _summarise_method(
            name, by_method[name], [pair for pair in used if pair.method == name], ranks.get(name, {}), content_classes
        )
        for name in sorted(by_method)
    ]
    return PromptTypeResults(prompt_type, _describe_coverage(common, left_out), methods)


def _common_pairs(pairs: Sequence[PairScores], base: str) -> tuple[set[_PairKey], int]:
    """Return the pairs that every method has, and the number of other pairs."""
    by_method: dict[str, set[_PairKey]] = defaultdict(set)
    for pair in pairs:
        by_method[pair.method].add((pair.content, pair.style))
    competing = [keys for method, keys in by_method.items() if method != base] or list(by_method.values())
    common = set.intersection(*competing)
    return common, len(set.union(*competing) - common)


def _describe_coverage(common: set[_PairKey], left_out: int) -> str:
    contents, styles = (len({pair[part] for pair in common}) for part in (0, 1))
    text = f"{len(common)} pairs of {contents} contents and {styles} styles"
    if left_out:
        text += f"; {left_out} pairs that not every method has are left out"
    if min(contents, styles) < 2:
        text += "; no intervals, since there is only one content or only one style"
    return text


def _summarise_method(
    name: str,
    images: Sequence[ImageScores],
    pairs: Sequence[PairScores],
    ranks: dict[str, RankScores],
    content_classes: Mapping[str, ContentClass],
) -> MethodMetrics:
    scores = {}
    for metric, definition in METRICS.items():
        cells = _cells_of_pairs(pairs, metric) if definition.whole else _cells_of_images(images, metric)
        scores[metric] = _estimate(cells)
    refused = sum(bool(image.refused) for image in images)
    return MethodMetrics(
        name,
        len(images) - refused,
        refused,
        scores,
        _means_by_class(pairs, content_classes),
        ranks,
        {flag: _rate([image.flags[flag] for image in images if flag in image.flags]) for flag in FLAGS},
    )


def _means_by_class(
    pairs: Sequence[PairScores], content_classes: Mapping[str, ContentClass]
) -> dict[str, dict[str, float]]:
    by_class: dict[str, list[PairScores]] = defaultdict(list)
    for pair in pairs:
        by_class[content_classes[pair.content].class_].append(pair)
    return {
        name: {metric: mean(pair.values.get(metric, math.nan) for pair in members) for metric in METRICS}
        for name, members in sorted(by_class.items())
    }


def _cells_of_images(images: Sequence[ImageScores], metric: str) -> Float64Array:
    """Return values (contents, styles, slots), NaN where there is none.

    A slot is a prompt type, a seed and the number among equal ones.
    """
    by_pair: dict[_PairKey, dict[_Slot, float]] = defaultdict(dict)
    for image in images:
        values = by_pair[image.item.content, image.item.style]
        slots = ((image.item.prompt_type, image.item.seed, number) for number in itertools.count())
        values[next(slot for slot in slots if slot not in values)] = image.values.get(metric, math.nan)
    return _cells(by_pair)


def _cells_of_pairs(pairs: Sequence[PairScores], metric: str) -> Float64Array:
    """Return values (contents, styles, 1), NaN where there is none."""
    return _cells({(pair.content, pair.style): {("", 0, 0): pair.values.get(metric, math.nan)} for pair in pairs})


def _cells(by_pair: Mapping[_PairKey, Mapping[_Slot, float]]) -> Float64Array:
    contents, styles = (sorted({pair[part] for pair in by_pair}) for part in (0, 1))
    slots = sorted({slot for values in by_pair.values() for slot in values})
    cells = np.full((len(contents), len(styles), len(slots)), math.nan)
    for (content, style), values in by_pair.items():
        for slot, value in values.items():
            cells[contents.index(content), styles.index(style), slots.index(slot)] = value
    return cells


def _estimate(cells: Float64Array) -> Estimate | None:
    """Return the mean with its interval over contents, styles and, where there are several, slots."""
    if np.isnan(cells).all():
        return None
    if min(cells.shape[:2]) < 2:
        return Estimate(float(np.nanmean(cells)), math.nan, math.nan)
    return incomplete_crossed_interval(cells)


def _rate(flags: Sequence[bool]) -> Rate:
    return Rate(sum(flags), len(flags))
