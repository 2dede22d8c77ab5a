"""Tables of a report, and their numbers as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lorarar.evaluation.statistics.intervals import Estimate
from lorarar.evaluation.statistics.proportions import Rate, wilson

DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class ReportTable:
    """A table of text.

    Attributes:
        starred: Rows whose first cell is one of these names get a star.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    starred: Sequence[str] = ()


def show_number(value: float | None, digits: int = 3) -> str:
    """Write a number, or a dash for None, NaN and infinity."""
    return _show(value, f".{digits}f")


def show_estimate(estimate: Estimate | None, form: str = ".3f") -> str:
    """Write a mean, followed by its interval in brackets."""
    if estimate is None:
        return DASH
    mean = _show(estimate.mean, form)
    if math.isnan(estimate.low):
        return mean
    return f"{mean} [{_show(estimate.low, form)}, {_show(estimate.high, form)}]"


def show_rate(rate: Rate) -> str:
    """Write a share with its Wilson interval and the counts behind it."""
    return f"{show_estimate(wilson(rate))} ({rate.successes} of {rate.total})" if rate.total else DASH


def _show(value: float | None, form: str) -> str:
    return DASH if value is None or not math.isfinite(value) else format(value, form)
