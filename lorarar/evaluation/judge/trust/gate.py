"""Gate: whether a judge's answers to the calibration are good enough for its scores to be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lorarar.datasets import AXES, Axis
from lorarar.evaluation.judge.read.scores import is_yes, probability
from lorarar.evaluation.judge.records import Verdict
from lorarar.evaluation.statistics.agreement import auc
from lorarar.evaluation.statistics.proportions import Rate

if TYPE_CHECKING:
    from lorarar.evaluation.judge.trust.calibration import CalibrationCase

MIN_SENSITIVITY = 0.8
MIN_SPECIFICITY = 0.8
MAX_FALSE_ACCEPTS = 0.05
MIN_DECIDED = 5  # of the cases behind each rate, and at least half of them


@dataclass(frozen=True)
class AxisGate:
    """One axis' answers to the calibration's questions.

    Attributes:
        sensitivity: The share of yes among decided positives. They are other images of the concept, or where there are
            fewer than five of them, copies of the reference too.
        easy: The share of yes among decided copies of the reference, which are easy.
        rests_on_easy: Whether the sensitivity counts copies.
        specificity: The share of no among decided negatives.
        false_accepts: The share of accepted images among decided degenerate ones; a collage is accepted when it passes
            on both axes.
        auc: Of the probability of yes, positives against negatives; NaN without one of them.
        undecided: The numbers of cases without a vote: positives, negatives, degenerate images.
    """

    sensitivity: Rate
    specificity: Rate
    false_accepts: Rate
    auc: float
    undecided: tuple[int, int, int]
    easy: Rate = field(default_factory=lambda: Rate(0, 0))
    rests_on_easy: bool = False


@dataclass(frozen=True)
class CalibrationGate:
    """The verdict on a judge.

    Attributes:
        reasons: The reasons for a failure; empty for a pass.
    """

    axes: Mapping[Axis, AxisGate]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the judge passed the calibration."""
        return not self.reasons


def evaluate_gate(cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]) -> CalibrationGate:
    """Compare a judge's verdicts with the right answers.

    The judge passes when on both axes sensitivity and specificity are at least 0.8 and at most 5 % of the degenerate
    images are accepted. Undecided cases count for neither side. When fewer than five or less than half of the cases of
    a rate are decided, the judge cannot be calibrated and fails.

    Args:
        verdicts: By the cases' ids; a case without verdict is undecided.
    """
    axes = {axis: _axis(axis, cases, verdicts) for axis in AXES}
    return CalibrationGate(axes, tuple(reason for axis in AXES for reason in _reasons(axis, axes[axis])))


def perfect_gate(cases: Sequence[CalibrationCase], refused: Iterable[str] = ()) -> CalibrationGate:
    """Return the gate of a judge that is always right: where even that fails, the cases are too few.

    Args:
        refused: The ids of the cases that cannot be asked.
    """
    left_out = set(refused)
    right = {c.id: Verdict(c.id, "ok", float(c.label)) for c in cases if c.id not in left_out}
    return evaluate_gate(cases, right)


def describe_limits(cases: Sequence[CalibrationCase]) -> list[str]:
    """Describe what a calibration by these cases cannot show, and what to add; one sentence for each limit."""
    limits = []
    for axis, other in (("content", "other_subject"), ("style", "other_style")):
        of_axis = [case for case in cases if case.axis == axis]
        others, easy = _positives(of_axis)
        if easy and len(others) < MIN_DECIDED:
            limits.append(
                f"the sensitivity for {axis} rests on {len(easy)} easy cases, which are copies of the references, some "
                f"flipped, cropped or saved again, and {len(others)} other images: add a second image of each {axis}"
            )
        if of_axis and not any(case.kind == other for case in of_axis):
            limits.append(
                f"the specificity for {axis} rests on images of the other axis, which are easy to tell apart: add a "
                f"second {axis}"
            )
    return limits


def _positives(cases: Iterable[CalibrationCase]) -> tuple[list[CalibrationCase], list[CalibrationCase]]:
    """Return the positives that show another image, and the easy ones."""
    positives = [case for case in cases if case.label and not case.degenerate]
    return [case for case in positives if not case.easy], [case for case in positives if case.easy]


def _axis(axis: Axis, cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]) -> AxisGate:
    of_axis = [case for case in cases if case.axis == axis]
    others, easy = _positives(of_axis)
    rests_on_easy = len(others) < MIN_DECIDED
    positive = [verdicts.get(case.id) for case in (others + easy if rests_on_easy else others)]
    negative = [verdicts.get(case.id) for case in of_axis if not case.label and not case.degenerate]
    copies = _decided([verdicts.get(case.id) for case in easy])
    yes, no = _decided(positive), _decided(negative)
    degenerate = [_accepts(case, cases, verdicts) for case in of_axis if case.degenerate]
    accepted = [answer for answer in degenerate if answer is not None]
    return AxisGate(
        sensitivity=Rate(sum(map(is_yes, yes)), len(yes)),
        specificity=Rate(len(no) - sum(map(is_yes, no)), len(no)),
        false_accepts=Rate(sum(accepted), len(accepted)),
        auc=auc([probability(v) for v in yes], [probability(v) for v in no]),
        undecided=(len(positive) - len(yes), len(negative) - len(no), len(degenerate) - len(accepted)),
        easy=Rate(sum(map(is_yes, copies)), len(copies)),
        rests_on_easy=rests_on_easy,
    )


def _decided(verdicts: Sequence[Verdict | None]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict is not None and verdict.state == "ok"]


def _accepts(case: CalibrationCase, cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]) -> bool | None:
    """Return whether a degenerate image is wrongly accepted; None when undecided.

    Half of a collage does show the concept, so it is wrong only to accept a collage on both axes.
    """
    answer = _answer(verdicts.get(case.id))
    if case.kind != "collage" or answer is False:
        return answer
    others = [_answer(verdicts.get(c.id)) for c in cases if c.image == case.image and c.axis != case.axis]
    if answer and True in others:
        return True
    return None if not others or None in others or True in others else False


def _answer(verdict: Verdict | None) -> bool | None:
    return is_yes(verdict) if verdict is not None and verdict.state == "ok" else None


def _reasons(axis: Axis, gate: AxisGate) -> list[str]:
    named = (
        ("sensitivity", gate.sensitivity, gate.undecided[0]),
        ("specificity", gate.specificity, gate.undecided[1]),
        ("false accepts of degenerate images", gate.false_accepts, gate.undecided[2]),
    )
    reasons = [
        f"{axis}: {name} cannot be calibrated: {rate.total} of {rate.total + undecided} cases are decided, expected at "
        f"least {MIN_DECIDED} and half of them: add reference images, or find out why the judge decides so few"
        for name, rate, undecided in named
        if rate.total < MIN_DECIDED or rate.total < undecided
    ]
    if gate.sensitivity.total and gate.sensitivity.value < MIN_SENSITIVITY:
        reasons.append(f"{axis}: sensitivity {gate.sensitivity.value:.3f} is below {MIN_SENSITIVITY}")
    if gate.specificity.total and gate.specificity.value < MIN_SPECIFICITY:
        reasons.append(f"{axis}: specificity {gate.specificity.value:.3f} is below {MIN_SPECIFICITY}")
    if gate.false_accepts.total and gate.false_accepts.value > MAX_FALSE_ACCEPTS:
        reasons.append(
            f"{axis}: {gate.false_accepts.successes} of {gate.false_accepts.total} degenerate images are accepted, "
            f"expected at most {MAX_FALSE_ACCEPTS:.0%}"
        )
    return reasons
