"""lorarar.evaluation.judge.judgement: from a folder of images to scores in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lorarar import judge
from lorarar.evaluation.judge.judgement import Judgement
from tests.evaluation.judge.sample import LAYOUT, METHODS, planned_run


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Arguments of a small run by the judge that knows the right answers."""
    planned_run(tmp_path)  # writes images, references and labels
    return {
        "images": tmp_path / "images",
        "references": str(tmp_path / "references" / "references.yaml"),
        "layout": LAYOUT,
        "backend": "mock:truth",
        "labels": tmp_path / "labels.jsonl",
        "cases": 6,
        "output": tmp_path / "judged",
    }


def asked(found: Judgement) -> int:
    assert found.judged.outcome is not None
    return found.judged.outcome.asked


def test_scores_of_each_method_and_the_page(settings: dict[str, Any]) -> None:
    found = judge(**settings)
    assert tuple(found.scores) == METHODS
    for metrics in found.scores.values():
        estimate = metrics["content"].estimate
        assert estimate is not None
        assert (estimate.low, estimate.mean, estimate.high) == pytest.approx((0.5, 0.5, 0.5), abs=0.5)
        assert estimate.mean == 0.5  # half of the labels are 1
    assert (found.calibrated, found.complete) == (True, True)
    assert found.page.read_text(encoding="utf-8").startswith("<!doctype html>")
    lines = repr(found).splitlines()
    assert lines[0] == "64 questions: 64 ok"
    assert [line.split()[:2] for line in lines if line.startswith("direct")] == [["direct", "0.250"]]
    assert lines[-1] == f"report: {found.page}"


def test_the_same_call_goes_on_and_another_one_is_refused(settings: dict[str, Any]) -> None:
    first = judge(**settings, budget=10)
    assert (asked(first), first.complete) == (10, False)
    assert asked(judge(**settings)) > 64
    again = judge(**settings)
    assert (asked(again), again.complete) == (0, True)
    with pytest.raises(ValueError, match="holds replies to another plan, which differs in repeats"):
        judge(**settings | {"repeats": 2})


def test_a_judge_that_fails_its_calibration_has_no_scores(settings: dict[str, Any]) -> None:
    found = judge(**settings | {"backend": "mock:noisy?sensitivity=1&specificity=0&position_bias=0&seed=0"})
    assert (found.calibrated, found.complete) == (False, False)
    assert "calibration: FAILED" in repr(found)
    assert all(metrics["mars2"].estimate is None for metrics in found.scores.values())


@pytest.mark.parametrize(("manifest", "layout", "found"), [(None, None, "neither"), ("m.jsonl", LAYOUT, "both")])
def test_layout_or_manifest(settings: dict[str, Any], manifest: str | None, layout: str | None, found: str) -> None:
    with pytest.raises(ValueError, match=f"expected either `layout` or `manifest`, found {found}: give one"):
        judge(**settings | {"manifest": manifest, "layout": layout})
    assert not settings["output"].exists()
