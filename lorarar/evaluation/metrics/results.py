"""From scores of images and pairs to the results of methods, with intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lorarar.datasets import PROMPT_TYPES
from lorarar.evaluation.metrics.measures import Array
from lorarar.evaluation.metrics.ranking import Place, Ranks, mean, rank_methods
from lorarar.evaluation.metrics.scoring import ImageScores, PairScores
from lorarar.evaluation.report.metric_names import FLAGS, METRICS
from lorarar.evaluation.statistics.bootstrap import Estimate, incomplete_crossed_interval
from lorarar.evaluation.statistics.proportions import Rate

Pair = tuple[str, str]


@dataclass(frozen=True)
class MethodResult:
    """One method's results on the common pairs of one prompt type.

    Attributes:
        images: that were scored; refused: that could not be read.
        scores: by metric, over contents x styles; None where it was not measured.
        classes: means by the contents' class and metric.
        ranks: by metric; empty for the base, which does not compete.
        flags: how many images of how many.
    """

    method: str
    images: int
    refused: int
    scores: dict[str, Estimate | None]
    classes: dict[str, dict[str, float]]
    ranks: dict[str, Ranks]
    flags: dict[str, Rate]


@dataclass(frozen=True)
class Group:
    """The methods' results on the images of one prompt type.

    Attributes:
        covers: what the intervals are about, in words.
    """

    prompt_type: str
    covers: str
    methods: list[MethodResult]


def summarise(
    images: Sequence[ImageScores], pairs: Sequence[PairScores], places: Mapping[str, Place], *, base: str = "base"
) -> list[Group]:
    """Results for each prompt type apart: what holds for one need not hold for another.

    Only pairs that all methods have are used; the base is compared with nobody and has no say in that.
    """
    types = sorted({pair.prompt_type for pair in pairs}, key=PROMPT_TYPES.index)
    return [
        _group(
            kind,
            [image for image in images if image.item.prompt_type == kind],
            [pair for pair in pairs if pair.prompt_type == kind],
            places,
            base,
        )
        for kind in types
    ]


def _group(
    kind: str, images: Sequence[ImageScores], pairs: Sequence[PairScores], places: Mapping[str, Place], base: str
) -> Group:
    common, left_out = _common_pairs(pairs, base)
    used = [pair for pair in pairs if (pair.content, pair.style) in common]
    ranks = rank_methods([pair for pair in used if pair.method != base], places)
    by_method: dict[str, list[ImageScores]] = defaultdict(list)
    for image in images:
        if (image.item.content, image.item.style) in common:
            by_method[image.item.method].append(image)
    methods = [
        _method(name, by_method[name], [pair for pair in used if pair.method == name], ranks.get(name, {}), places)
        for name in sorted(by_method)
    ]
    return Group(kind, _covers(common, left_out), methods)


def _common_pairs(pairs: Sequence[PairScores], base: str) -> tuple[set[Pair], int]:
    """The pairs that every method has, and how many others there are."""
    having: dict[str, set[Pair]] = defaultdict(set)
    for pair in pairs:
        having[pair.method].add((pair.content, pair.style))
    competing = [found for method, found in having.items() if method != base] or list(having.values())
    common = set.intersection(*competing)
    return common, len(set.union(*competing) - common)


def _covers(common: set[Pair], left_out: int) -> str:
    contents, styles = (len({pair[part] for pair in common}) for part in (0, 1))
    text = f"{len(common)} pairs of {contents} contents and {styles} styles"
    if left_out:
        text += f"; {left_out} pairs that not every method has are left out"
    if min(contents, styles) < 2:
        text += "; no intervals, since there is only one content or only one style"
    return text


def _method(
    name: str,
    images: Sequence[ImageScores],
    pairs: Sequence[PairScores],
    ranks: dict[str, Ranks],
    places: Mapping[str, Place],
) -> MethodResult:
    scores = {}
    for metric, about in METRICS.items():
        cells = _of_pairs(pairs, metric) if about.whole else _of_images(images, metric)
        scores[metric] = _estimate(cells)
    refused = sum(bool(image.refused) for image in images)
    return MethodResult(
        name,
        len(images) - refused,
        refused,
        scores,
        _by_class(pairs, places),
        ranks,
        {flag: _rate([image.flags[flag] for image in images if flag in image.flags]) for flag in FLAGS},
    )


def _by_class(pairs: Sequence[PairScores], places: Mapping[str, Place]) -> dict[str, dict[str, float]]:
    members: dict[str, list[PairScores]] = defaultdict(list)
    for pair in pairs:
        members[places[pair.content].class_].append(pair)
    return {
        name: {metric: mean(pair.values.get(metric, math.nan) for pair in found) for metric in METRICS}
        for name, found in sorted(members.items())
    }


def _of_images(images: Sequence[ImageScores], metric: str) -> Array:
    """Values (contents, styles, images), NaN where there is none."""
    by_pair: dict[Pair, list[float]] = defaultdict(list)
    for image in images:
        by_pair[image.item.content, image.item.style].append(image.values.get(metric, math.nan))
    return _lay_out(by_pair)


def _of_pairs(pairs: Sequence[PairScores], metric: str) -> Array:
    """Values (contents, styles, 1), NaN where there is none."""
    return _lay_out({(pair.content, pair.style): [pair.values.get(metric, math.nan)] for pair in pairs})


def _lay_out(by_pair: Mapping[Pair, Sequence[float]]) -> Array:
    contents, styles = (sorted({pair[part] for pair in by_pair}) for part in (0, 1))
    cells = np.full((len(contents), len(styles), max(map(len, by_pair.values()), default=0)), math.nan)
    for (content, style), values in by_pair.items():
        cells[contents.index(content), styles.index(style), : len(values)] = values
    return cells


def _estimate(cells: Array) -> Estimate | None:
    """The mean with its contents x styles interval; seeds do not act alike on all pairs and are not resampled."""
    if np.isnan(cells).all():
        return None
    if min(cells.shape[:2]) < 2:
        return Estimate(float(np.nanmean(cells)), math.nan, math.nan)
    return incomplete_crossed_interval(cells, draw_seeds=False)


def _rate(flags: Sequence[bool]) -> Rate:
    return Rate(sum(flags), len(flags))
