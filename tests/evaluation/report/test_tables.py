"""lorarar.evaluation.report.tables: numbers as text."""

from __future__ import annotations

import math

import pytest

from lorarar.evaluation.report.tables import DASH, show_estimate, show_number, show_rate
from lorarar.evaluation.statistics.intervals import Estimate
from lorarar.evaluation.statistics.proportions import Rate


@pytest.mark.parametrize(("value", "text"), [(0.12345, "0.123"), (None, DASH), (math.nan, DASH), (math.inf, DASH)])
def test_numbers(value: float | None, text: str) -> None:
    assert show_number(value) == text


def test_estimates_have_an_interval_where_it_is_known() -> None:
    assert show_estimate(Estimate(0.5, 0.25, 0.75)) == "0.500 [0.250, 0.750]"
    assert show_estimate(Estimate(0.5, math.nan, math.nan)) == "0.500"
    assert show_estimate(Estimate(1234.5, 1000.0, 2000.0), ".4g") == "1234 [1000, 2000]"
    assert show_estimate(None) == DASH


def test_rates_have_their_counts() -> None:
    assert show_rate(Rate(1, 2)) == "0.500 [0.095, 0.905] (1 of 2)"
    assert show_rate(Rate(0, 0)) == DASH
