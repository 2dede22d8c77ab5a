"""Probe of an encoder: whether it represents content or style, on images whose content and style are labelled.

The diversity ratio is the mean diversity within a class over the diversity of the whole set. Where an encoder
represents the classes, images of one class have similar features and the ratio is low. Three measures of diversity are
used. The ratio also depends on the sizes of the classes, so it is compared with random classes of the same sizes.

Reference: Yeh et al., "Navigating Text-To-Image Customization", arXiv 2309.14859.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lorarar.evaluation.metrics import normalise, vendi

Array = NDArray[np.float64]
Verdict = Literal["content", "style", "both", "neither"]
_LEVEL = 0.05  # significance level of the permutation test: a class counts as seen below it
_FACTOR = 2.0  # an encoder is about one axis when it sees at least this many times as much of it as of the other


def dissimilarity(x: ArrayLike) -> float:
    """Return 1 minus the mean cosine of two different rows of (n, d); NaN for one row."""
    rows = normalise(x)
    n, total = len(rows), rows.sum(0)
    return float(1 - (total @ total - n) / (n * (n - 1))) if n > 1 else float("nan")


def variance(x: ArrayLike) -> float:
    """Return the mean squared distance of the normalised rows of (n, d) from their centroid mu: 1 - ||mu||^2."""
    centroid = normalise(x).mean(axis=0)
    return float(1 - centroid @ centroid)


DIVERSITIES: Mapping[str, Callable[[ArrayLike], float]] = {
    "vendi": vendi,
    "dissimilarity": dissimilarity,
    "variance": variance,
}


@dataclass(frozen=True)
class Ratio:
    """A diversity ratio, with that of random classes of the same sizes.

    Attributes:
        value: Mean diversity within a class over the diversity of the whole set.
        chance: Mean ratio of random classes.
        p: How often random classes had a ratio as low as the value.
        floor: Ratio of classes whose images are all equal.
    """

    value: float
    chance: float
    p: float
    floor: float

    @property
    def seen(self) -> float:
        """How far the value is from chance (0) towards classes of equal images (1)."""
        return 1 - (self.value - self.floor) / (self.chance - self.floor)


@dataclass(frozen=True)
class Probe:
    """What an encoder sees: the ratios for "content" and "style", by measure of diversity."""

    ratios: Mapping[str, Mapping[str, Ratio]]

    def leaning(self, diversity: str) -> Verdict:
        """Return the axis that the encoder sees at least twice as well as the other, by one measure of diversity."""
        seen = {axis: r[diversity].seen if r[diversity].p <= _LEVEL else 0.0 for axis, r in self.ratios.items()}
        content, style = max(seen["content"], 0.0), max(seen["style"], 0.0)
        if not content and not style:
            return "neither"
        if content >= _FACTOR * style:
            return "content"
        return "style" if style >= _FACTOR * content else "both"

    @property
    def verdict(self) -> Verdict:
        """The leaning of at least two of the three measures, else "both"."""
        leanings = [self.leaning(diversity) for diversity in DIVERSITIES]
        if len(set(leanings)) == len(leanings):
            return "both"
        return max(dict.fromkeys(leanings), key=leanings.count)


def diversity_ratio(features: ArrayLike, classes: Sequence[str], diversity: str, *, draws: int = 200) -> Ratio:
    """Return the diversity ratio of features, and that of random classes of the same sizes.

    Args:
        features: Features (n, d).
        classes: The classes of the n rows: at least two classes of at least two rows.
        diversity: "vendi", "dissimilarity" or "variance".
        draws: Number of random assignments of classes.

    Raises:
        ValueError: There are too few classes, a class has one row, or all rows are equal.

    Reference: Yeh et al., "Navigating Text-To-Image Customization", arXiv 2309.14859.
    """
    rows, names = normalise(features), np.asarray(classes)
    distinct, sizes = np.unique(names, return_counts=True)
    if len(names) != len(rows) or len(distinct) < 2 or sizes.min() < 2:
        raise ValueError(
            f"expected at least two classes of at least two images each for {len(rows)} images, found "
            f"{dict(zip(distinct.tolist(), sizes.tolist(), strict=True))}: add images, or leave the small classes out"
        )
    measure = DIVERSITIES[diversity]
    whole, floor = measure(rows), measure(np.tile(rows[:1], (2, 1)))
    if whole - floor < 1e-9:
        raise ValueError(
            "expected images that the encoder tells apart, found equal features: use other images or another encoder"
        )
    random = np.random.default_rng(0)
    value = _within(rows, names, measure) / whole
    by_chance = np.array([_within(rows, random.permutation(names), measure) / whole for _ in range(draws)])
    p = (1 + int((by_chance <= value + 1e-12).sum())) / (1 + draws)
    return Ratio(value, float(by_chance.mean()), p, floor / whole)


def _within(rows: Array, names: NDArray[np.str_], measure: Callable[[ArrayLike], float]) -> float:
    """Return the mean diversity of the classes, weighted by their numbers of images."""
    return sum(float((names == name).mean()) * measure(rows[names == name]) for name in np.unique(names))


def probe(features: ArrayLike, contents: Sequence[str], styles: Sequence[str], *, draws: int = 200) -> Probe:
    """Return all ratios of features of images whose content and style are labelled.

    Contents and styles must be crossed: a content that appears in one style only cannot be told from that style.

    Args:
        features: Features (n, d).
        contents: The contents of the n images.
        styles: The styles of the n images.
        draws: Number of random assignments of classes.

    Raises:
        ValueError: See `diversity_ratio`; or contents and styles divide the images into the same classes.
    """
    pairs, axes = set(zip(contents, styles, strict=True)), {"content": contents, "style": styles}
    if len(pairs) == len(set(contents)) or len(pairs) == len(set(styles)):
        raise ValueError(
            "expected contents in several styles and styles with several contents, found "
            f"{len(set(contents))} contents, {len(set(styles))} styles and {len(pairs)} pairs of them: add images"
        )
    return Probe(
        {
            axis: {name: diversity_ratio(features, classes, name, draws=draws) for name in DIVERSITIES}
            for axis, classes in axes.items()
        }
    )
