"""Correlations of metrics with truths over crossed pairs, and their tables; agreement.py computes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lorarar.datasets import AXES, TYPES, Item
from lorarar.evaluation.statistics import Estimate, crossed_spearman

ItemValues = dict[str, dict[str, float]]  # by item id, then by name
TRUTHS = ("content", "style", "joint")
# The truth that each metric measures, by the first word of the metric's name that is listed here.
_TRUTH_OF = {"content": "content", "style": "style", "harmonic": "joint", "joint": "joint", "base": "joint"}


def correlate(
    items: Sequence[Item], methods: Sequence[str], values: ItemValues, truths: ItemValues, name: str
) -> dict[str, Any]:
    """Correlate a metric with each truth: over all images, and within pairs (both minus the mean of the pair)."""
    compared = [m for m in methods if not (name.startswith("base preservation") and m == "base")]
    used = [item for item in items if item.method in compared]
    metric = _cells(used, compared, lambda item: values[item.id].get(name, math.nan))
    if np.isnan(metric).any():
        return {}
    correlations = {}
    for truth in TRUTHS:
        true = _cells(used, compared, lambda item, truth=truth: truths[item.id][truth])
        centred = [np.round(v - v.mean(2, keepdims=True), 9) for v in (metric, true)]
        correlations[truth] = {
            "all": _rounded(crossed_spearman(metric, true)),
            "within_pairs": _rounded(crossed_spearman(*centred)),
        }
    return correlations


def truth_of(metric: str) -> str:
    """Return the truth that a metric measures."""
    return next(_TRUTH_OF[word] for word in metric.replace(",", "").split() if word in _TRUTH_OF)


def correlation_table(correlations: Mapping[str, Any], names: Sequence[str], over: str) -> str:
    """Return a table of the correlations of each metric with its truth, over "all" images or "within_pairs"."""
    lines = [f"| metric | truth | {' | '.join(TYPES)} |", "|---|---|" + "---|" * len(TYPES)]
    for name in sorted(names, key=lambda name: (TRUTHS.index(truth_of(name)), names.index(name))):
        truth = truth_of(name)
        cells = [show_correlation(correlations[kind].get(name, {}).get(truth, {}).get(over)) for kind in TYPES]
        lines.append(f"| {name} | {truth} | {' | '.join(cells)} |")
    return "\n".join(lines)


def show_correlation(estimate: Sequence[float] | None) -> str:
    """Return a correlation with its interval as text."""
    return "not measured" if not estimate else f"{estimate[0]:+.2f} [{estimate[1]:+.2f}, {estimate[2]:+.2f}]"


def _rounded(estimate: Estimate) -> list[float]:
    return [round(value, 3) for value in (estimate.mean, estimate.low, estimate.high)]


def _cells(items: Sequence[Item], methods: Sequence[str], value: Callable[[Item], float]) -> np.ndarray:
    """Return values (contents, styles, methods)."""
    contents, styles = (sorted({getattr(item, axis) for item in items}) for axis in AXES)
    cells = np.full((len(contents), len(styles), len(methods)), math.nan)
    for item in items:
        cells[contents.index(item.content), styles.index(item.style), methods.index(item.method)] = value(item)
    return cells
