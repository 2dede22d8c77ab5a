"""Plots: all marks and texts lie inside the picture, gaps stay empty, and the output is deterministic."""

from __future__ import annotations

import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lorarar.evaluation.metrics.plots import plot_group, plot_svg
from lorarar.evaluation.metrics.results import MethodMetrics, PromptTypeResults
from lorarar.evaluation.metrics.table import METRICS
from lorarar.evaluation.statistics.intervals import Estimate

Scores = dict[str, list[Estimate | None]]
ALL: Scores = {name: [Estimate(0.5, 0.1, 0.9), Estimate(-2.0, -3.0, 1.0)] for name in METRICS}


def group_of(scores: Scores, names: Sequence[str]) -> PromptTypeResults:
    """Results of methods with these scores; the other metrics were not measured."""
    methods = []
    for i, name in enumerate(names):
        of_method = {metric: scores.get(metric, [None] * len(names))[i] for metric in METRICS}
        methods.append(MethodMetrics(name, 1, 0, of_method, {}, {}, {}))
    return PromptTypeResults("train", "", methods)


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left") or axes.get_title(): axes for axes in figure.axes}


def means(axes: Axes) -> list[float]:
    return [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"]  # type: ignore[index]


def test_each_metric_has_a_panel_with_all_methods() -> None:
    drawn = panels(plot_group(group_of(ALL, "ab")))
    assert list(drawn) == [metric.title for metric in METRICS.values()]
    for axes in drawn.values():
        assert means(axes) == [0.5, -2.0]
        low, high = axes.get_xlim()
        assert low < -3.0 < 1.0 < high
    first = next(iter(drawn.values()))
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b"]
    assert {axes.get_xlabel() for axes in drawn.values()} == {"higher is better \u2192", "\u2190 lower is better"}


def test_texts_lie_inside_the_picture() -> None:
    figure = plot_group(group_of(ALL, ["direct", "a method with a very long name indeed"]))
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= height


def test_missing_values_leave_gaps() -> None:
    nan = math.nan
    scores: Scores = {"diversity": [Estimate(1.0, nan, nan), None], "harmonic": [Estimate(0.2, 0.1, 0.3)] * 2}
    drawn = panels(plot_group(group_of(scores, "ab")))
    assert list(drawn) == [METRICS[name].title for name in ("harmonic", "diversity")]
    assert means(drawn["diversity, Vendi"]) == [1.0]
    assert len(drawn["diversity, Vendi"].lines) == 1  # a mean without an interval
    assert ET.fromstring(plot_svg(group_of({}, "ab"))).tag.endswith("svg")


def test_equal_results_give_equal_text_without_a_date() -> None:
    first = plot_svg(group_of(ALL, "ab"))
    assert first == plot_svg(group_of(ALL, "ab"))
    assert "<dc:date>" not in first


def test_names_are_text_only() -> None:
    names = ["<b>&", "$x_1$", "\u65e5\u672c"]  # markup, mathematics, letters that the font lacks
    scores: Scores = {"harmonic": [Estimate(0.2, 0.1, 0.3)] * 3}
    root = ET.fromstring(plot_svg(group_of(scores, names)))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(names) <= set(texts)


def test_the_encoders_stand_below_the_panels() -> None:
    figure = plot_group(group_of(ALL, "ab"), "content: tower (0123abcd)")
    figure.draw_without_rendering()
    assert figure.get_supxlabel() == "content: tower (0123abcd)"
    assert "tower (0123abcd)" in plot_svg(group_of(ALL, "ab"), "content: tower (0123abcd)")


@pytest.mark.slow
def test_matplotlib_is_loaded_for_pictures_only_and_pyplot_never() -> None:
    code = (
        "import sys, lorarar.evaluation.metrics.run; print('matplotlib' in sys.modules);"
        "import lorarar.evaluation.metrics.plots; print('matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]
