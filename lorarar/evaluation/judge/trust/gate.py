"""The gate: may this judge's scores be believed? Its answers to questions whose right answer is known decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        sensitivity: decided positives answered yes; specificity: decided negatives answered no.
        false_accepts: decided degenerate images (blank, noise, text card, collage) that were accepted; a collage is
            accepted when it passes on both axes.
        auc: of the probability of yes, positives against negatives; NaN when either is missing.
        undecided: cases without a vote, for (positives, negatives, degenerate images).
    """

    sensitivity: Rate
    specificity: Rate
    false_accepts: Rate
    auc: float
    undecided: tuple[int, int, int]


@dataclass(frozen=True)
class CalibrationGate:
    """The verdict on a judge.

    Attributes:
        reasons: why it failed, in words; none when it passed.
    """

    axes: Mapping[Axis, AxisGate]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the judge."""
        return not self.reasons


def evaluate_gate(cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]) -> CalibrationGate:
    """Holds a judge's verdicts against the right answers.

    It passes when on both axes sensitivity and specificity are at least 0.8 and at most 5 % of the degenerate images
    are accepted. Undecided cases count for neither side; when fewer than five or less than half of the cases behind a
    rate are decided, the judge cannot be calibrated, and fails.

    Args:
        verdicts: by the cases' ids; a case without verdict is undecided.
    """
    axes = {axis: _axis(axis, cases, verdicts) for axis in AXES}
    return CalibrationGate(axes, tuple(reason for axis in AXES for reason in _reasons(axis, axes[axis])))


def _axis(axis: Axis, cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]) -> AxisGate:
    mine = [case for case in cases if case.axis == axis]
    positive, negative = (
        [verdicts.get(case.id) for case in mine if case.label == label and not case.degenerate] for label in (1, 0)
    )
    yes, no = _decided(positive), _decided(negative)
    accepted = [answer for case in mine if case.degenerate and (answer := _accepts(case, cases, verdicts)) is not None]
    degenerate = sum(case.degenerate for case in mine)
    return AxisGate(
        sensitivity=Rate(sum(map(is_yes, yes)), len(yes)),
        specificity=Rate(len(no) - sum(map(is_yes, no)), len(no)),
        false_accepts=Rate(sum(accepted), len(accepted)),
        auc=auc([probability(v) for v in yes], [probability(v) for v in no]),
        undecided=(len(positive) - len(yes), len(negative) - len(no), degenerate - len(accepted)),
    )


def _decided(verdicts: Sequence[Verdict | None]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict is not None and verdict.state == "ok"]


def _accepts(case: CalibrationCase, cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]) -> bool | None:
    """Whether a degenerate image is wrongly accepted; None when undecided.

    Half of a collage does show what is asked for: it is wrong only to accept it on both axes.
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


def _reasons(axis: Axis, found: AxisGate) -> list[str]:
    named = (
        ("sensitivity", found.sensitivity, found.undecided[0]),
        ("specificity", found.specificity, found.undecided[1]),
        ("false accepts of degenerate images", found.false_accepts, found.undecided[2]),
    )
    reasons = [
        f"{axis}: {name} cannot be calibrated: {rate.total} of {rate.total + undecided} cases are decided, expected at "
        f"least {MIN_DECIDED} and half of them: add reference images, or look at why the judge decides nothing"
        for name, rate, undecided in named
        if rate.total < MIN_DECIDED or rate.total < undecided
    ]
    if found.sensitivity.total and found.sensitivity.value < MIN_SENSITIVITY:
        reasons.append(f"{axis}: sensitivity {found.sensitivity.value:.3f} is below {MIN_SENSITIVITY}")
    if found.specificity.total and found.specificity.value < MIN_SPECIFICITY:
        reasons.append(f"{axis}: specificity {found.specificity.value:.3f} is below {MIN_SPECIFICITY}")
    if found.false_accepts.total and found.false_accepts.value > MAX_FALSE_ACCEPTS:
        reasons.append(
            f"{axis}: {found.false_accepts.successes} of {found.false_accepts.total} degenerate images are accepted, "
            f"expected at most {MAX_FALSE_ACCEPTS:.0%}"
        )
    return reasons
