"""lorarar.evaluation.report.interval_plots: where estimates stand in a plot."""

from __future__ import annotations

import math

import pytest

from lorarar.evaluation.report.interval_plots import plot_intervals
from lorarar.evaluation.statistics.intervals import Estimate


def test_positions_are_proportional_and_inside_the_axis() -> None:
    rows = {"a": {"x": Estimate(0.5, 0.25, 2.0), "y": None}, "b": {"x": Estimate(0.0, math.nan, math.nan), "y": None}}
    plot = plot_intervals("title", rows, limits=(0.0, 1.0))
    (line,), (point,) = (row.lines for row in plot.rows)
    assert (line.mean, line.low, line.high) == (180.0, 93.0, 354.0)  # of an axis from 6 to 354
    assert point.low == point.mean == point.high == 6.0
    assert [text for _, text in plot.ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert plot.rows[0].text == "0.500 [0.250, 2.000]"
    assert plot.rows[0].y < line.y < plot.rows[1].y < point.y < plot.height


@pytest.mark.parametrize(("low", "high"), [(0.27, 0.39), (810.0, 2630.0), (-0.5, 0.3), (0.0, 2.49), (5.0, 5.0)])
def test_the_axis_has_a_few_round_ticks(low: float, high: float) -> None:
    plot = plot_intervals("t", {"m": {"x": Estimate(low, low, high)}})
    assert 2 <= len(plot.ticks) <= 6
    assert all(6 <= x <= 354 for x, _ in plot.ticks)


def test_a_plot_without_values_and_a_long_name() -> None:
    plot = plot_intervals("t", {"m" * 60: {"x": None}})
    assert plot.rows[0].lines == ()
    assert (len(plot.rows[0].label), plot.rows[0].title) == (34, "m" * 60)
