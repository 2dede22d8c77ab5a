"""Results: means over the images of each transformation, then intervals over transformations.

Transformations are what a basis should generalise to, so they are the units, not images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics import Estimate, crossed_interval, paired_interval

SCORES = ("accuracy", "preservation", "exact")
# Name of a transformation -> the scores of each image, in the order of `SCORES`.
Cell = dict[str, list[list[float]]]


def summarise_answers(cell: Cell) -> dict[str, Any]:
    """Return the mean of each score with its interval over transformations, and the means of each transformation.

    Empty where a method knows none of the transformations.
    """
    if not cell:
        return {}
    means = _means(cell, list(cell))
    summary: dict[str, Any] = {
        score: _plain(crossed_interval(means[:, i, None, None], shares=True)) for i, score in enumerate(SCORES)
    }
    rows = {name: dict(zip(SCORES, map(_rounded, row), strict=True)) for name, row in zip(cell, means, strict=True)}
    return summary | {"transformations": rows}


def compare_answers(cell: Cell, reference: Cell) -> dict[str, Any]:
    """Return the mean difference of each score, a cell minus the reference, over transformations that both know."""
    shared = [name for name in cell if name in reference]
    if not shared:
        return {}
    ours, theirs = _means(cell, shared), _means(reference, shared)
    return {
        score: _plain(paired_interval(ours[:, i, None, None], theirs[:, i, None, None]))
        for i, score in enumerate(SCORES)
    }


def _means(cell: Mapping[str, Sequence[Sequence[float]]], names: Sequence[str]) -> NDArray[np.float64]:
    """Return the mean scores of transformations, (transformations, scores)."""
    return np.array([np.mean(cell[name], axis=0) for name in names])


def _plain(estimate: Estimate) -> list[float | None]:
    """Return mean, low and high; None where a bound is not defined."""
    return [None if np.isnan(value) else _rounded(value) for value in (estimate.mean, estimate.low, estimate.high)]


def _rounded(value: float) -> float:
    return round(float(value), 4)
