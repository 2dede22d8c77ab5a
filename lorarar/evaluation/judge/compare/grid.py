"""Grid of contents, styles and seeds: the crossed design of intervals and tests."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.judge.read.scores import ImageMetric, ImageScore
from lorarar.evaluation.statistics.intervals import Estimate, incomplete_crossed_interval

PairKey = tuple[str, str]
Slot = tuple[str, int, int]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """The images of several methods by content, style and slot.

    Attributes:
        methods, contents, styles: Names, sorted.
        slots: (prompt type, seed, number among equal ones) of the images of a pair, sorted. The comparison is between
            images of two methods at the same pair and slot.
        cells: The images, by method and (content, style, slot) indices.
        pairs: The pairs that every method has; only these are used.
        left_out: pairs that some method lacks.
    """

    methods: tuple[str, ...]
    contents: tuple[str, ...]
    styles: tuple[str, ...]
    slots: tuple[Slot, ...]
    cells: dict[str, dict[tuple[int, int, int], ImageScore]]
    pairs: tuple[PairKey, ...]
    left_out: tuple[PairKey, ...]

    def images(self, method: str) -> list[ImageScore]:
        """Return a method's images at the common pairs, by content, style and slot."""
        return [self.cells[method][index] for index in sorted(self.cells[method])]

    def values(self, method: str, metric: ImageMetric) -> FloatArray:
        """Return a metric of a method (contents, styles, slots), NaN without an image or a decision."""
        values = np.full((len(self.contents), len(self.styles), len(self.slots)), math.nan)
        for index, image in self.cells[method].items():
            value = metric(image).value
            values[index] = math.nan if value is None else value
        return values

    def estimate(self, values: FloatArray, *, shares: bool = False) -> Estimate | None:
        """Estimate the mean of values (contents, styles, slots) with its crossed interval; None if all are NaN.

        Slots are a random factor, as contents and styles are. Values of a single slot, such as means of pairs, give an
        interval over further contents and styles at these seeds. With a single content or a single style nothing is
        known about others, so the bounds are NaN.

        Args:
            shares: Whether the values are scores of 0 to 1, see `crossed_interval`.
        """
        if np.isnan(values).all():
            return None
        if not self.generalises:
            return Estimate(float(np.nanmean(values)), math.nan, math.nan)
        return incomplete_crossed_interval(values, shares=shares)

    @property
    def generalises(self) -> bool:
        """Whether there are at least two contents and two styles, which an interval needs."""
        return len(self.contents) > 1 and len(self.styles) > 1

    def describe(self) -> str:
        """Describe the pairs that the intervals and tests cover."""
        cells = len(self.contents) * len(self.styles)
        text = f"{len(self.pairs)} pairs of {len(self.contents)} contents and {len(self.styles)} styles"
        if len(self.pairs) < cells:
            text += f" ({cells - len(self.pairs)} combinations of them are missing)"
        if self.left_out:
            text += f"; {len(self.left_out)} pairs that not every method has are left out"
        if not self.generalises:
            text += "; no intervals, since there is only one content or one style"
        return text


def lay_out(images: Sequence[ImageScore]) -> Grid:
    """Lay out the images of the pairs that every method has.

    Raises:
        ValueError: No pair is common to all methods.
    """
    of_methods: dict[str, dict[PairKey, list[ImageScore]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        of_methods[image.item.method][image.item.content, image.item.style].append(image)
    pairs_of_methods = [set(pairs) for pairs in of_methods.values()]
    common = sorted(set.intersection(*pairs_of_methods)) if pairs_of_methods else []
    if not common:
        raise ValueError(
            f"expected pairs that all methods have, found none for {', '.join(sorted(of_methods)) or 'no method'}: "
            "judge the methods on the same contents and styles"
        )
    slotted = {(method, pair): _by_slot(pairs[pair]) for method, pairs in of_methods.items() for pair in common}
    contents, styles = (tuple(sorted({pair[part] for pair in common})) for part in (0, 1))
    slots = tuple(sorted({slot for by_slot in slotted.values() for slot in by_slot}))
    index = {slot: i for i, slot in enumerate(slots)}
    cells: dict[str, dict[tuple[int, int, int], ImageScore]] = {method: {} for method in sorted(of_methods)}
    for (method, (content, style)), by_slot in slotted.items():
        for slot, image in by_slot.items():
            cells[method][contents.index(content), styles.index(style), index[slot]] = image
    left_out = sorted(set.union(*pairs_of_methods) - set(common))
    return Grid(tuple(cells), contents, styles, slots, cells, tuple(common), tuple(left_out))


def _by_slot(images: Sequence[ImageScore]) -> dict[Slot, ImageScore]:
    numbers: dict[tuple[str, int], int] = defaultdict(int)
    slots = {}
    for image in sorted(images, key=lambda image: image.item.id):
        key = (image.item.prompt_type, image.item.seed)
        slots[*key, numbers[key]] = image
        numbers[key] += 1
    return slots
