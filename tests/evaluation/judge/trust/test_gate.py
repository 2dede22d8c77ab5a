"""The gate: which judges pass, which fail and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lorarar.datasets.records import AXES
from lorarar.evaluation.judge.records import State, Verdict
from lorarar.evaluation.judge.trust.calibration import CalibrationCase
from lorarar.evaluation.judge.trust.gate import describe_limits, evaluate_gate, perfect_gate
from lorarar.evaluation.statistics.proportions import Rate, wilson

DEGENERATE = ("blank", "noise", "text_card", "collage")


def make_cases(each: int) -> list[CalibrationCase]:
    cases = []
    for axis in AXES:
        for kind, label in (("same_subject", 1), ("other_subject", 0), *((kind, 0) for kind in DEGENERATE)):
            for n in range(each):
                name = f"calibration/{kind}/{axis}/{n}"
                cases.append(CalibrationCase(name, kind, axis, label, "r.png", f"/{kind}/{n}.png", kind in DEGENERATE))
    return cases


def answers(cases: list[CalibrationCase], answers_yes: Callable[[CalibrationCase], float]) -> dict[str, Verdict]:
    result = {}
    for case in cases:
        p = answers_yes(case)
        result[case.id] = Verdict(case.id, "ok", float(p > 0.5), p_yes=(p, p))
    return result


CASES = make_cases(20)
RIGHT = answers(CASES, lambda case: 0.9 if case.label else 0.1)


def test_a_right_judge_passes() -> None:
    result = evaluate_gate(CASES, RIGHT)
    assert result.passed
    assert result.reasons == ()
    for axis in AXES:
        gate = result.axes[axis]
        assert gate.sensitivity == gate.specificity == Rate(20, 20)
        assert gate.false_accepts == Rate(0, 80)
        assert gate.auc == 1.0
        assert gate.undecided == (0, 0, 0)


@pytest.mark.parametrize(
    ("answers_yes", "reason"),
    [
        (lambda _: 0.9, "content: specificity 0.000 is below 0.8"),
        (lambda _: 0.1, "style: sensitivity 0.000 is below 0.8"),
        (lambda c: 0.9 if c.label or c.kind == "blank" else 0.1, "content: 20 of 80 degenerate images are accepted"),
        (lambda c: 0.9 if c.label and not c.id.endswith("5") else 0.1, ""),
    ],
)
def test_other_judges(answers_yes: Callable[[CalibrationCase], float], reason: str) -> None:
    result = evaluate_gate(CASES, answers(CASES, answers_yes))
    assert result.passed == (not reason)
    assert any(reason in text for text in result.reasons) or not reason


def test_the_thresholds_are_met_exactly() -> None:
    wrong = {f"calibration/same_subject/content/{n}" for n in range(4)} | {
        f"calibration/blank/style/{n}" for n in range(4)
    }
    verdicts = answers(CASES, lambda c: 0.9 if (c.label == 1) != (c.id in wrong) else 0.1)
    assert evaluate_gate(CASES, verdicts).passed  # 0.8 and 5 %
    wrong |= {"calibration/same_subject/content/4", "calibration/blank/style/4"}
    verdicts = answers(CASES, lambda c: 0.9 if (c.label == 1) != (c.id in wrong) else 0.1)
    assert len(evaluate_gate(CASES, verdicts).reasons) == 2


def test_a_judge_without_knowledge_fails() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        result = evaluate_gate(CASES, answers(CASES, lambda _: random.random()))
        assert not result.passed


def test_a_collage_is_wrong_on_both_axes_only() -> None:
    one = answers(CASES, lambda c: 0.9 if c.label or (c.kind == "collage" and c.axis == "content") else 0.1)
    assert evaluate_gate(CASES, one).passed
    assert evaluate_gate(CASES, one).axes["content"].false_accepts == Rate(0, 80)  # decided: the other axis says no
    gates = answers(CASES, lambda c: 0.9 if c.label or c.kind == "collage" else 0.1)
    assert evaluate_gate(CASES, gates).axes["style"].false_accepts == Rate(20, 80)
    unknown = dict(gates)
    for n in range(20):
        unknown[f"calibration/collage/style/{n}"] = Verdict("q", "error")
    assert evaluate_gate(CASES, unknown).axes["content"].undecided == (0, 0, 20)
    assert evaluate_gate(CASES, unknown).axes["content"].false_accepts == Rate(0, 60)


@pytest.mark.parametrize("state", ["abstain", "error", "invalid_input", "not_run"])
def test_undecided_cases_count_for_neither_side(state: State) -> None:
    verdicts = dict(RIGHT)
    for n in range(5):
        verdicts[f"calibration/same_subject/content/{n}"] = Verdict("q", state, 1.0)
        del verdicts[f"calibration/other_subject/content/{n}"]
    result = evaluate_gate(CASES, verdicts)
    assert result.passed
    assert result.axes["content"].sensitivity == result.axes["content"].specificity == Rate(15, 15)
    assert result.axes["content"].undecided == (5, 5, 0)


def test_too_few_decided_cases_cannot_be_calibrated() -> None:
    few = make_cases(4)
    reasons = evaluate_gate(few, answers(few, lambda c: float(c.label))).reasons
    assert "content: sensitivity cannot be calibrated: 4 of 4 cases are decided, expected at least 5" in reasons[0]
    silent = {name: v for name, v in RIGHT.items() if "same_subject/style" not in name or int(name.split("/")[-1]) < 9}
    assert ["style: sensitivity cannot be calibrated: 9 of 20" in r for r in evaluate_gate(CASES, silent).reasons] == [
        True
    ]
    assert len(evaluate_gate(CASES, {}).reasons) == 6
    assert not evaluate_gate([], {}).passed


def test_known_error_rates_lie_in_their_intervals() -> None:
    random = np.random.default_rng(3)
    cases = make_cases(200)
    verdicts = answers(cases, lambda c: float(random.random() < (0.85 if c.label else 0.1)))
    for axis in AXES:
        result = evaluate_gate(cases, verdicts).axes[axis]
        for rate, truth in ((result.sensitivity, 0.85), (result.specificity, 0.9)):
            interval = wilson(rate)
            assert interval.low <= truth <= interval.high
            assert interval.high - interval.low < 0.12
        assert result.auc == pytest.approx((result.sensitivity.value + result.specificity.value) / 2)


def with_copies(others: int, copies: int) -> list[CalibrationCase]:
    """The cases with these numbers of positives that show another image, and of copies, on each axis."""
    kept = [case for case in CASES if not case.label or int(case.id.split("/")[-1]) < others]
    named = [(f"calibration/exact_copy/{axis}/{n}", axis) for axis in AXES for n in range(copies)]
    return kept + [CalibrationCase(name, "exact_copy", axis, 1, "r.png", "/r.png", False, True) for name, axis in named]


def test_copies_do_not_raise_the_sensitivity_where_other_images_give_it() -> None:
    cases = with_copies(others=20, copies=20)
    result = evaluate_gate(cases, answers(cases, lambda case: 0.9 if case.easy else 0.1))
    assert not result.passed
    assert result.axes["style"].sensitivity == Rate(0, 20)
    assert result.axes["style"].easy == Rate(20, 20)
    assert not result.axes["style"].rests_on_easy


def test_copies_stand_in_for_other_images() -> None:
    cases = with_copies(others=4, copies=6)
    result = evaluate_gate(cases, answers(cases, lambda case: 0.9 if case.label else 0.1))
    assert result.passed
    assert result.axes["content"].sensitivity == Rate(10, 10)
    assert result.axes["content"].easy == Rate(6, 6)
    assert result.axes["content"].rests_on_easy


def test_a_perfect_judge_fails_only_where_cases_are_too_few() -> None:
    assert perfect_gate(CASES).passed
    assert "3 of 3 cases" in perfect_gate(with_copies(others=1, copies=2)).reasons[0]
    refused = [case.id for case in CASES if case.label and case.axis == "style"]
    assert perfect_gate(CASES, refused).reasons[0].startswith("style: sensitivity cannot be calibrated: 0 of 20")


def test_limits_of_a_calibration() -> None:
    easy = describe_limits(with_copies(others=4, copies=6))
    assert "sensitivity for content rests on 6 easy cases" in easy[0]
    assert "4 other images" in easy[0]
    alone = [case for case in CASES if case.kind != "other_subject"]
    assert ["second content" in limit for limit in describe_limits(alone)] == [True, False]
    style = [replace(c, kind="other_style") if c.kind == "other_subject" and c.axis == "style" else c for c in CASES]
    assert describe_limits(style) == []
