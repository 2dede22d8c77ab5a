"""One picture a prompt type: for each metric the methods with their intervals. SVG, drawn without a library."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lorarar.evaluation.metrics.results import Group
from lorarar.evaluation.report.html import Markup, element
from lorarar.evaluation.report.metric_names import METRICS
from lorarar.evaluation.statistics.bootstrap import Estimate

_LABEL, _WIDTH, _ROW, _TOP, _GAP, _COLUMNS = 150, 200, 20, 34, 20, 3  # pixels; panels a row
_LETTERS = 22
_INK, _PALE, _GREY = "#1f2328", "#d1d9e0", "#59636e"


def draw_group(group: Group) -> str:
    """An SVG with a panel for each metric that was measured; in each the arrow points to what is better."""
    names = [m.method for m in group.methods]
    panels = {name: [m.scores[name] for m in group.methods] for name in METRICS}
    shown = {name: found for name, found in panels.items() if any(found)}
    height = _TOP + _ROW * len(names) + _GAP
    parts = [
        element(
            "g",
            _panel(name, names, found),
            transform=f"translate({i % _COLUMNS * (_LABEL + _WIDTH + _GAP)}, {i // _COLUMNS * height})",
        )
        for i, (name, found) in enumerate(shown.items())
    ]
    width, full = _COLUMNS * (_LABEL + _WIDTH + _GAP), max(1, -(-len(shown) // _COLUMNS)) * height
    drawn = element(
        "svg",
        element("rect", fill="white", width=width, height=full),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        font_family="sans-serif",
        font_size=12,
        width=width,
        height=full,
    )
    return f"{drawn}\n"


def _panel(name: str, methods: Sequence[str], estimates: Sequence[Estimate | None]) -> list[Markup]:
    metric, bottom = METRICS[name], _TOP + _ROW * len(methods)
    spans = [None if estimate is None else _span(estimate) for estimate in estimates]
    low, high = min(span[0] for span in spans if span), max(span[2] for span in spans if span)
    arrow = "\N{RIGHTWARDS ARROW}" if metric.better == "up" else "\N{LEFTWARDS ARROW}"
    parts = [
        _text(f"{metric.title} {arrow}", 0, 14, font_weight="bold"),  # some are wider than the right part
        _text(format(low, metric.form), _LABEL, bottom + 10, fill=_GREY),
        _text(format(high, metric.form), _LABEL + _WIDTH, bottom + 10, fill=_GREY, text_anchor="end"),
        _line(_LABEL, _LABEL + _WIDTH, bottom - 4, _PALE),
    ]
    for row, (method, span) in enumerate(zip(methods, spans, strict=True)):
        y = _TOP + _ROW * row
        parts.append(_text(_shortened(method), _LABEL - 8, y + 4, text_anchor="end"))
        if span is not None:
            left, centre, right = (_place(value, low, high) for value in span)
            parts += [_line(left, right, y, _INK), element("circle", cx=centre, cy=y, r=4, fill=_INK)]
    return parts


def _span(estimate: Estimate) -> tuple[float, float, float]:
    """Lower bound, mean and upper bound; the mean alone where there is no interval."""
    if math.isnan(estimate.low):
        return estimate.mean, estimate.mean, estimate.mean
    return estimate.low, estimate.mean, estimate.high


def _place(value: float, low: float, high: float) -> int:
    """Where a value lies between two that are drawn at the panel's ends."""
    return _LABEL + (round((value - low) / (high - low) * _WIDTH) if high > low else _WIDTH // 2)


def _shortened(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 2]}.."


def _text(text: str, x: int, y: int, **attributes: str) -> Markup:
    return element("text", text, x=x, y=y, **attributes)


def _line(left: int, right: int, y: int, colour: str) -> Markup:
    return element("line", x1=left, x2=right, y1=y, y2=y, stroke=colour, stroke_width=2)
