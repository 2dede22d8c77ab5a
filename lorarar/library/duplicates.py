"""Duplicates: pairs of entries with the evidence that one is a version of the other.

Candidates are pairs with similar sketches. Exact inner products then decide; experiments/library has the rates of false
alarms at these thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lorarar.library.entries import Entry
from lorarar.library.fingerprints import Vector
from lorarar.library.products import PairMeasure, measure_pair
from lorarar.library.search import unit
from lorarar.lora import LoRA

Sort = Literal["same bytes", "same weights", "rescaled", "resized", "other version", "contained"]
SAME_COSINE = 1 - 1e-4
SAME_LENGTH = 0.01  # relative difference of the norms of the same weights
RESIZED_INSIDE, RESIZED_FIT = 0.99, 0.02  # a truncation lies inside and has the leading directions, unscaled
VERSION_COSINE = 0.6  # different LoRAs reach .47
CONTAINED_OUTPUTS, CONTAINED_COSINE = 0.98, 0.2
CANDIDATE_COSINE = 0.35  # of the sketches; their error is about .06
_ROWS = 2048


@dataclass(frozen=True)
class Duplicate:
    """Two files or entries of which one is a version of the other.

    Attributes:
        sort: What the second is of the first.
        first: Path of the first.
        second: Path of the second; for "contained" the file that the first contains.
        evidence: The measurement in words.
    """

    sort: Sort
    first: str
    second: str
    evidence: str


def same_bytes(entries: Iterable[Entry]) -> Iterator[Duplicate]:
    """Yield the files that have the bytes of another one."""
    for entry in entries:
        for path in entry.paths[1:]:
            yield Duplicate("same bytes", entry.paths[0], path, f"SHA-256 {entry.sha256[:12]}")


def candidate_pairs(ids: NDArray[np.int64], sketches: Vector) -> Iterator[tuple[int, int]]:
    """Yield pairs of entries (n,) whose sketches (n, d) have at least the cosine `CANDIDATE_COSINE`."""
    units = unit(sketches)
    for start in range(0, len(ids), _ROWS):
        cosines = units[start : start + _ROWS] @ units[start:].T
        for row, column in zip(*np.nonzero(np.triu(cosines, 1) >= CANDIDATE_COSINE), strict=True):
            yield int(ids[start + row]), int(ids[start + column])


def find_duplicates(pairs: Iterable[tuple[Entry, Entry]], read: Callable[[Entry], LoRA | None]) -> Iterator[Duplicate]:
    """Yield the candidates that are versions of each other; `read` returns None where the file of an entry is gone."""
    for first, second in pairs:
        a, b = read(first), read(second)
        if a is None or b is None:
            continue
        if _total_rank(a) < _total_rank(b):
            (first, second), (a, b) = (second, first), (b, a)
        measure = measure_pair(a, b)
        sort = judge_pair(measure)
        if sort:
            yield Duplicate(sort, first.path, second.path, describe(sort, measure))


def judge_pair(measure: PairMeasure) -> Sort | None:
    """Return what b is of a, where b has at most the rank of a; None for LoRAs that are not related."""
    if measure.cosine >= SAME_COSINE:
        return "same weights" if abs(measure.ratio - 1) <= SAME_LENGTH else "rescaled"
    is_truncation = abs(measure.projection - 1) <= RESIZED_FIT and abs(measure.leading - 1) <= RESIZED_FIT
    if is_truncation and measure.inside >= RESIZED_INSIDE:
        return "resized"
    is_inside = measure.outputs >= CONTAINED_OUTPUTS > 2 * measure.outputs_by_chance
    if measure.cosine >= CONTAINED_COSINE and measure.wider and is_inside:
        return "contained"
    return "other version" if measure.cosine >= VERSION_COSINE else None


def describe(sort: Sort, measure: PairMeasure) -> str:
    """Return the evidence in words."""
    if sort == "rescaled":
        return f"{measure.ratio:.3g} times as long, cosine {measure.cosine:.6f}"
    if sort == "resized":
        return f"{measure.inside:.2%} inside, keeps {measure.cosine**2:.1%} of the energy"
    if sort == "contained":
        chance = f"{measure.outputs_by_chance:.0%} by chance"
        return f"{measure.outputs:.1%} in its columns ({chance}), factor about {measure.projection:.2f}"
    return f"cosine {measure.cosine:.6f}"


def _total_rank(lora: LoRA) -> int:
    """Return the sum of the layers' ranks; a dense layer counts its smaller side."""
    return sum(getattr(layer, "rank", min(layer.shape)) for layer in lora.layers.values())
