"""The plots: what is drawn lies inside the picture, and gaps are gaps."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from lorarar.evaluation.metrics.plots import draw_group
from lorarar.evaluation.metrics.results import MethodMetrics, PromptTypeResults
from lorarar.evaluation.report.metric_names import FEATURE_METRICS
from lorarar.evaluation.statistics.bootstrap import Estimate

_SVG = "{http://www.w3.org/2000/svg}"
_WIDEST = 7.0  # pixels a letter of bold 12-pixel sans-serif takes, on the average, at most


def drawn(scores: dict[str, list[Estimate | None]]) -> ET.Element:
    """The picture of methods a, b, .. with these scores; other metrics were not measured."""
    count = len(next(iter(scores.values())))
    methods = [
        MethodMetrics(chr(97 + i), 1, 0, {n: scores.get(n, [None] * count)[i] for n in FEATURE_METRICS}, {}, {}, {})
        for i in range(count)
    ]
    return ET.fromstring(draw_group(PromptTypeResults("train", "", methods)))


def test_texts_and_marks_lie_inside_the_picture() -> None:
    root = drawn({name: [Estimate(0.5, 0.1, 0.9), Estimate(-2.0, -3.0, 1.0)] for name in FEATURE_METRICS})
    width = float(root.get("width", ""))
    texts = [element.text for element in root.iter(f"{_SVG}text")]
    assert all(any(text and text.startswith(metric.title) for text in texts) for metric in FEATURE_METRICS.values())
    for panel in root.iter(f"{_SVG}g"):
        left = float(panel.get("transform", "").split("(")[1].split(",")[0])
        for text in panel.iter(f"{_SVG}text"):
            start = left + float(text.get("x", ""))
            if text.get("text-anchor") != "end":
                assert start + _WIDEST * len(text.text or "") <= width, text.text
        for circle in panel.iter(f"{_SVG}circle"):
            assert 0 <= left + float(circle.get("cx", "")) <= width


def test_what_was_not_measured_is_not_drawn() -> None:
    nan = math.nan
    root = drawn({"diversity": [Estimate(1.0, nan, nan), None], "harmonic": [Estimate(0.2, 0.1, 0.3)] * 2})
    assert len(list(root.iter(f"{_SVG}g"))) == 2
    assert len(list(root.iter(f"{_SVG}circle"))) == 3
