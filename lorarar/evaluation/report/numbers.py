"""Numbers as a reader wants them, and tables of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lorarar.evaluation.report.html import Markup, element
from lorarar.evaluation.statistics.bootstrap import Estimate
from lorarar.evaluation.statistics.proportions import Rate, wilson

DASH = "\N{EN DASH}"


def show_number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none."""
    return _show(value, f".{digits}f")


def show_estimate(estimate: Estimate | None, form: str = ".3f") -> str:
    """A mean with its interval in brackets."""
    if estimate is None:
        return DASH
    mean = _show(estimate.mean, form)
    if math.isnan(estimate.low):
        return mean
    return f"{mean} [{_show(estimate.low, form)}, {_show(estimate.high, form)}]"


def _show(value: float | None, form: str) -> str:
    return DASH if value is None or not math.isfinite(value) else format(value, form)


def show_rate(rate: Rate) -> str:
    """A share with Wilson's interval and the counts behind it."""
    return f"{show_estimate(wilson(rate))} ({rate.successes} of {rate.total})" if rate.total else DASH


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
