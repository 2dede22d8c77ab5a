"""Numbers as a reader wants them, and tables of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lorarar.judge.html import Markup, element
from lorarar.judge.results import Score
from lorarar.statistics import Estimate, Rate, wilson

DASH = "\N{EN DASH}"


def show_number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none."""
    return DASH if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def show_estimate(estimate: Estimate | None) -> str:
    """A mean with its interval in brackets."""
    if estimate is None:
        return DASH
    if math.isnan(estimate.low):
        return show_number(estimate.mean)
    return f"{show_number(estimate.mean)} [{show_number(estimate.low)}, {show_number(estimate.high)}]"


def show_rate(rate: Rate) -> str:
    """A share with Wilson's interval and the counts behind it."""
    return f"{show_estimate(wilson(rate))} ({rate.successes} of {rate.total})" if rate.total else DASH


def show_score(score: Score) -> str:
    """An estimate, followed by its bounds where questions are undecided."""
    text = show_estimate(score.estimate)
    return text if score.low == score.high else f"{text} ({score.low:.3f} to {score.high:.3f})"


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", marked: Iterable[str] = ()
) -> Markup:
    """A table; rows whose first cell is in ``marked`` get a star."""
    marks = set(marked)
    head = element("tr", *(element("th", name) for name in header))
    body = [
        element("tr", *(element("td", cell) for cell in row), class_="tied" if row[0] in marks else "") for row in rows
    ]
    described = [element("caption", caption)] if caption else []
    return element("div", element("table", *described, head, *body), class_="wide")
