"""Is an encoder fit for the question? Whether it sees content or style, on images whose content and style are known.

The diversity ratio is the mean diversity within a class over that of the whole set: where an encoder sees what the
classes stand for, images of one class look alike to it and the ratio is low. Three measures of diversity are asked. How
low is low depends on the classes' sizes, so each ratio is held against random classes of the same sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lorarar.evaluation.metrics.measures import normalise, vendi

Array = NDArray[np.float64]
ProbeVerdict = Literal["content", "style", "both", "neither"]
_LEVEL = 0.05  # of a permutation test, for a class to count as seen
_SHARE = 2.0  # how many times more of one than of the other makes an encoder "about" it


def dissimilarity(x: ArrayLike) -> float:
    """1 minus the mean cosine of two different rows of (n, d); NaN for one row."""
    rows = normalise(x)
    n, total = len(rows), rows.sum(0)
    return float(1 - (total @ total - n) / (n * (n - 1))) if n > 1 else float("nan")


def variance(x: ArrayLike) -> float:
    """The mean squared distance of the normalised rows of (n, d) from their centre: 1 - ||mu||^2."""
    centre = normalise(x).mean(axis=0)
    return float(1 - centre @ centre)


DIVERSITIES: Mapping[str, Callable[[ArrayLike], float]] = {
    "vendi": vendi,
    "dissimilarity": dissimilarity,
    "variance": variance,
}


@dataclass(frozen=True)
class Ratio:
    """A diversity ratio and what random classes of the same sizes give.

    Attributes:
        value: mean diversity within a class over that of the whole set.
        chance: mean ratio of random classes; p: how often one of them was as low.
        floor: the ratio of classes whose images are all equal.
    """

    value: float
    chance: float
    p: float
    floor: float

    @property
    def seen(self) -> float:
        """How much of the way from chance (0) to classes of equal images (1)."""
        return 1 - (self.value - self.floor) / (self.chance - self.floor)


@dataclass(frozen=True)
class Probe:
    """What an encoder sees: for content and for style, by measure of diversity, a ratio."""

    ratios: Mapping[str, Mapping[str, Ratio]]

    def leaning(self, diversity: str) -> ProbeVerdict:
        """What one measure says the encoder sees: one of them if it sees it at least twice as much as the other."""
        seen = {axis: r[diversity].seen if r[diversity].p <= _LEVEL else 0.0 for axis, r in self.ratios.items()}
        content, style = max(seen["content"], 0.0), max(seen["style"], 0.0)
        if not content and not style:
            return "neither"
        if content >= _SHARE * style:
            return "content"
        return "style" if style >= _SHARE * content else "both"

    @property
    def verdict(self) -> ProbeVerdict:
        """What at least two of the three measures say, else "both"."""
        said = [self.leaning(diversity) for diversity in DIVERSITIES]
        return max(dict.fromkeys(said), key=said.count) if len(set(said)) < len(said) else "both"


def diversity_ratio(features: ArrayLike, classes: Sequence[str], diversity: str, *, draws: int = 200) -> Ratio:
    """The diversity ratio of features (n, d), and of random classes of the same sizes.

    Args:
        classes: n names; each class has at least two rows, and there are at least two classes.
        diversity: "vendi", "dissimilarity" or "variance".
        draws: random classes.

    Raises:
        ValueError: too few classes, a class of one row, or rows that are all the same.

    Reference: Yeh et al., "Navigating Text-To-Image Customization", arXiv 2309.14859.
    """
    rows, names = normalise(features), np.asarray(classes)
    known, sizes = np.unique(names, return_counts=True)
    if len(names) != len(rows) or len(known) < 2 or sizes.min() < 2:
        raise ValueError(
            f"expected at least two classes of at least two images each for {len(rows)} images, found "
            f"{dict(zip(known.tolist(), sizes.tolist(), strict=True))}: add images, or leave the small classes out"
        )
    measure = DIVERSITIES[diversity]
    whole, floor = measure(rows), measure(np.tile(rows[:1], (2, 1)))
    if whole - floor < 1e-9:
        raise ValueError("expected images that the encoder tells apart, found features that are all the same")
    random = np.random.default_rng(0)
    value = _within(rows, names, measure) / whole
    drawn = np.array([_within(rows, random.permutation(names), measure) / whole for _ in range(draws)])
    p = (1 + int((drawn <= value + 1e-12).sum())) / (1 + draws)
    return Ratio(value, float(drawn.mean()), p, floor / whole)


def _within(rows: Array, names: NDArray[np.str_], measure: Callable[[ArrayLike], float]) -> float:
    """Mean diversity of the classes, each weighted by its images."""
    return sum(float((names == name).mean()) * measure(rows[names == name]) for name in np.unique(names))


def probe(features: ArrayLike, contents: Sequence[str], styles: Sequence[str], *, draws: int = 200) -> Probe:
    """All ratios of features (n, d) of images whose content and style are known.

    Contents and styles should be crossed: a content that is shown in one style only cannot be told from it.

    Raises:
        ValueError: see `diversity_ratio`; or contents and styles name the same classes.
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
