"""Plots of estimates with intervals: positions for the macro that draws them as SVG inside a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorarar.evaluation.report.tables import show_estimate
from lorarar.evaluation.statistics.intervals import Estimate

_LEFT, _RIGHT = 6.0, 354.0  # ends of the axis, of a width of 360
_LABEL, _LINE, _GAP, _TOP = (
    16.0,
    10.0,
    8.0,
    4.0,
)  # heights: label, line, space below a row, frame
_LETTERS = 34  # of a label; longer ones are shortened


@dataclass(frozen=True)
class PlotLine:
    """One estimate: positions of its mean and of the ends of its interval, which are equal without an interval."""

    series: int
    y: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PlotRow:
    """The lines of one method under its label; `text` has the first estimate in figures."""

    label: str
    text: str
    title: str
    y: float
    lines: tuple[PlotLine, ...]


@dataclass(frozen=True)
class IntervalPlot:
    """A plot; its unit is a 360th of its width.

    Attributes:
        series: What the lines of a row are, in their order.
        ticks: Positions on the axis, with their numbers.
        better: A remark under the axis, "" for none.
    """

    title: str
    series: tuple[str, ...]
    rows: tuple[PlotRow, ...]
    ticks: tuple[tuple[float, str], ...]
    height: float
    better: str = ""


def plot_intervals(
    title: str,
    rows: Mapping[str, Mapping[str, Estimate | None]],
    *,
    limits: tuple[float, float] | None = None,
    form: str = ".3f",
    better: str = "",
) -> IntervalPlot:
    """Lay out estimates by row and series, the first row at the top.

    Args:
        limits: Ends of the axis; None takes those of the values.
        form: Number format of the figures.
        better: A remark under the axis.
    """
    low, high = limits or _limits([estimate for series in rows.values() for estimate in series.values() if estimate])
    names = tuple(next(iter(rows.values()), {}))
    height, y = _LABEL + _LINE * len(names) + _GAP, _TOP

    def place(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(_LEFT + (_RIGHT - _LEFT) * share, 1)

    placed = []
    for label, estimates in rows.items():
        lines = []
        for series, estimate in enumerate(estimates.values()):
            if estimate is not None:
                ends = (estimate.mean, estimate.mean) if math.isnan(estimate.low) else (estimate.low, estimate.high)
                line = y + _LABEL + _LINE * (series + 0.5)
                lines.append(PlotLine(series, line, place(estimate.mean), *map(place, ends)))
        text = show_estimate(next(iter(estimates.values()), None), form)
        short = label if len(label) <= _LETTERS else f"{label[: _LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
        placed.append(PlotRow(short, text, label, y + _LABEL - 4, tuple(lines)))
        y += height
    ticks = tuple((place(value), f"{value:g}") for value in _ticks(low, high))
    return IntervalPlot(title, names, tuple(placed), ticks, y, better)


def _limits(estimates: Sequence[Estimate]) -> tuple[float, float]:
    values = [v for e in estimates for v in (e.mean, e.low, e.high) if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Return two to six round numbers between two others."""
    power = 10 ** math.floor(math.log10(high - low))
    step = next(power * part for part in (5.0, 2.0, 1.0, 0.5, 0.2) if (high - low) / (power * part) >= 2.5)
    return [round(step * n, 10) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
