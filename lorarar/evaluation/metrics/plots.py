"""Plots of results: one picture per prompt type, with a panel for each metric and a row for each method."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lorarar.evaluation.metrics.results import PromptTypeResults
from lorarar.evaluation.metrics.table import METRICS, Metric
from lorarar.evaluation.statistics.intervals import Estimate

# Okabe and Ito's palette for colour-blind readers, without its yellow, which is too pale for lines on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_GREY, _PALE = "#59636e", "#d1d9e0"
_COLUMNS = 3
_PANEL_WIDTH, _ROW_HEIGHT, _FRAME_HEIGHT = 3.1, 0.26, 0.95  # inches; the frame holds title, axis and label
_LETTERS = 24  # longer names of methods are shortened
_STYLE = {
    "svg.hashsalt": "lorarar",  # element ids follow from the drawing alone: equal results give equal bytes
    "svg.fonttype": "none",  # text stays text, which can be searched and copied
    "text.parse_math": False,  # a dollar sign in the name of a method is a dollar sign
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.edgecolor": _GREY,
    "xtick.color": _GREY,
    "ytick.left": False,
}


def plot_svg(group: PromptTypeResults, encoders: str = "") -> str:
    """Return the picture of one prompt type as SVG, without dates: equal results give equal text.

    Each panel shows one metric: for each method its mean and its 95 % interval. A metric that was not measured has no
    panel, and a method without a value has an empty row.

    Args:
        group: The results.
        encoders: The encoders, as text below the panels.
    """
    figure, text = plot_group(group, encoders), io.StringIO()
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # The viewer of an SVG picks the font, so a letter that matplotlib's own font lacks is still shown.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def plot_group(group: PromptTypeResults, encoders: str = "") -> Figure:
    """Return the picture of one prompt type as a figure, see `plot_svg`."""
    with matplotlib.style.context(["default", _STYLE]):
        return _draw(group, encoders)


def _draw(group: PromptTypeResults, encoders: str) -> Figure:
    methods = [result.method for result in group.methods]
    panels = {}
    for name in METRICS:
        estimates = [result.scores[name] for result in group.methods]
        if any(estimates):
            panels[name] = estimates
    rows = max(1, math.ceil(len(panels) / _COLUMNS))
    figure = Figure(
        figsize=(1.2 + _PANEL_WIDTH * _COLUMNS, rows * (_FRAME_HEIGHT + _ROW_HEIGHT * len(methods))),
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08),  # inches around each panel
    )
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for index, (name, estimates) in enumerate(panels.items()):
        _draw_panel(axes[index], METRICS[name], methods, estimates)
        if index % _COLUMNS:
            axes[index].set_yticklabels([])
    for unused in axes[len(panels) :]:
        unused.remove()
    if encoders:
        figure.supxlabel(encoders, color=_GREY, fontsize=7)
    return figure


def _draw_panel(axes: Axes, metric: Metric, methods: Sequence[str], estimates: Sequence[Estimate | None]) -> None:
    for row, estimate in enumerate(estimates):
        if estimate is None:
            continue
        colour = PALETTE[row % len(PALETTE)]
        if not math.isnan(estimate.low):
            axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([estimate.mean], [row], color=colour, marker="o", markersize=6)
    axes.set_title(metric.title)
    axes.set_yticks(range(len(methods)), [_shorten(method) for method in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)  # the first method is at the top
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="both", color=_PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    better = "higher is better \N{RIGHTWARDS ARROW}" if metric.better == "up" else "\N{LEFTWARDS ARROW} lower is better"
    axes.set_xlabel(better, color=_GREY, loc="right" if metric.better == "up" else "left")


def _shorten(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
