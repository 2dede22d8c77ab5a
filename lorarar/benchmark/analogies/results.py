"""Results: means over the images of each transformation, then intervals over transformations.

Transformations are what a basis should generalise to, so they are the units, not images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics import Estimate, crossed_interval, paired_interval

# The last two are a judge's, where one was asked: NaN where it did not decide.
SCORES = ("accuracy", "preservation", "exact", "edited", "kept")
# Name of a transformation -> the scores of each image, in the order of `SCORES`.
Cell = dict[str, list[list[float]]]


def summarise_answers(cell: Cell) -> dict[str, Any]:
    """Return the mean of each score with its interval over transformations, and the means of each transformation.

    Empty where a method knows none of the transformations. Where a judge was asked, "unscored" counts its questions
    without an answer.
    """
    if not cell:
        return {}
    means = _means(cell, list(cell))
    summary = {score: _estimate(crossed_interval, column, shares=True) for score, column in means.items()}
    rows = {name: {score: _rounded(column[i]) for score, column in means.items()} for i, name in enumerate(cell)}
    unscored = {"unscored": sum(value != value for rows_ in cell.values() for row in rows_ for value in row)}
    return summary | (unscored if "edited" in means else {}) | {"transformations": rows}


def compare_answers(cell: Cell, reference: Cell) -> dict[str, Any]:
    """Return the mean difference of each score, a cell minus the reference, over transformations that both know."""
    shared = [name for name in cell if name in reference]
    ours, theirs = _means(cell, shared), _means(reference, shared)
    return {score: _estimate(paired_interval, ours[score], theirs[score]) for score in ours}


def _means(cell: Cell, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the mean of each score over the images of each transformation, (transformations,)."""
    columns = [[_mean(column) for column in zip(*cell[name], strict=True)] for name in names]
    return {score: np.array(column) for score, column in zip(SCORES, zip(*columns, strict=True), strict=False)}


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are decided; NaN where none is."""
    decided = [value for value in values if value == value]
    return sum(decided) / len(decided) if decided else float("nan")


def _estimate(interval: Callable[..., Estimate], *columns: NDArray[np.float64], **options: bool) -> list[float | None]:
    """Return mean, low and high over the transformations that are decided; None for what is not defined."""
    decided = ~np.isnan(columns).any(0)
    if not decided.any():
        return [None, None, None]
    estimate = interval(*(column[decided, None, None] for column in columns), **options)
    return [_rounded(value) for value in (estimate.mean, estimate.low, estimate.high)]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
