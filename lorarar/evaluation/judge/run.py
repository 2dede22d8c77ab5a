"""Judging run: calibrate, ask and parse the verdicts, all in one folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from lorarar.evaluation.judge.ask.planning import Plan
from lorarar.evaluation.judge.ask.reply_log import Shard, export_verdicts, read_replies, read_verdicts
from lorarar.evaluation.judge.ask.run_folder import (
    CALIBRATION,
    LOG,
    VERDICTS,
    Setup,
    read_backend,
    write_backend,
)
from lorarar.evaluation.judge.ask.runner import Outcome, run_questions
from lorarar.evaluation.judge.plan import Planned, plan_all
from lorarar.evaluation.judge.read.reasons import group_reasons
from lorarar.evaluation.judge.records import Backend, Verdict
from lorarar.evaluation.judge.trust.calibration import write_calibration
from lorarar.evaluation.judge.trust.gate import CalibrationGate, describe_limits, evaluate_gate

Status: TypeAlias = Literal["complete", "incomplete", "uncalibrated", "budget"]
_SHOWN_REASONS = 4


@dataclass(frozen=True)
class Judged:
    """The state of a run after asking.

    Attributes:
        verdicts: By question id.
        case_verdicts: By case id.
        gate: None where the rubric has no calibration.
        outcome: What was asked; None when the folder was only read.
    """

    planned: Planned
    verdicts: dict[str, Verdict]
    case_verdicts: dict[str, Verdict]
    gate: CalibrationGate | None
    outcome: Outcome | None

    def status(self, *, uncalibrated: bool = False, calibrate_only: bool = False) -> Status:
        """Return the most serious problem, or "complete".

        Args:
            uncalibrated: A failed calibration is not a problem.
            calibrate_only: Only the calibration's questions count.
        """
        if self.outcome is not None and self.outcome.stopped == "budget":
            return "budget"
        if self._calibration_incomplete:
            return "incomplete"
        if self.gate is not None and not self.gate.passed and not uncalibrated:
            return "uncalibrated"
        verdicts = self.case_verdicts if calibrate_only else self.verdicts
        return "complete" if all(verdict.state == "ok" for verdict in verdicts.values()) else "incomplete"

    @property
    def _calibration_incomplete(self) -> bool:
        stopped = self.outcome is not None and bool(self.outcome.stopped)
        return stopped and self.gate is not None and not self.gate.passed

    def describe(self) -> str:
        """Describe the run in a few lines."""
        states = Counter(self.verdicts[question.id].state for question in self.planned.main.questions)
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        lines = [f"{len(self.planned.main.questions)} questions: {counts}"]
        if self.outcome is not None:
            lines.append(
                f"asked {self.outcome.asked} now, {self.outcome.failed} failed, {self.outcome.cached} from the cache"
            )
            if self.outcome.stopped:
                lines.append(f"stopped: {self.outcome.stopped}")
        lines += _describe_undecided([*self.verdicts.values(), *self.case_verdicts.values()])
        if self._calibration_incomplete:
            lines.append("calibration: incomplete, so nothing is known about the judge yet")
        elif self.gate is not None:
            failed = "FAILED, so its scores would mean little: take another model, or another rubric"
            lines.append("calibration: " + ("passed" if self.gate.passed else failed))
            lines += [f"  {reason}" for reason in [*self.gate.reasons, *describe_limits(self.planned.cases)]]
        return "\n".join(lines)


def _describe_undecided(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line for each frequent reason why questions have no answer, with their number and what to do."""
    groups = [group for group in group_reasons(verdicts) if group.state != "not_run"]
    return [f"  {g.count} {g.kind}, such as: {g.example} ({g.remedy})" for g in groups[:_SHOWN_REASONS]]


def run_judge(
    run: Path,
    setup: Setup,
    backend: Backend,
    name: str,
    *,
    cache: Path | None = None,
    budget: int | None = None,
    uncalibrated: bool = False,
    calibrate_only: bool = False,
    shard: Shard | None = None,
) -> Judged:
    """Ask all missing questions: first the calibration, then, if the judge passes it, the rest.

    Args:
        name: The name by which the back end was opened.
        cache: A folder of replies that several runs share.
        budget: The largest number of calls.
        uncalibrated: Ask the rest even if the calibration fails.
        calibrate_only: Ask the calibration alone.
        shard: The share of the questions about the images to ask, after the calibration; None for all.

    Raises:
        ValueError: Another judge answered in this folder, no judge can pass the calibration, or it is not finished, and
            only a share is to be asked.
        OSError: The folder cannot be written, or another run uses it.
    """
    planned = plan_all(run, setup, backend.identity)
    if not uncalibrated:
        planned.check_calibration()
    write_backend(run, name, backend.identity)
    if shard:
        return _ask_share(run, planned, backend, cache=cache, budget=budget, uncalibrated=uncalibrated, shard=shard)
    first = _ask(run, planned.calibration, backend, cache, budget, "calibrate the judge")
    calibrated = read_run(run, planned)
    passed = calibrated.gate is None or calibrated.gate.passed or uncalibrated
    if calibrate_only or not passed or first.stopped:
        return replace(calibrated, outcome=first)
    left = None if budget is None else budget - first.asked
    second = _ask(run, planned.main, backend, cache, left, "ask the judge")
    return replace(read_run(run, planned), outcome=_sum(first, second))


def _ask_share(
    run: Path,
    planned: Planned,
    backend: Backend,
    *,
    cache: Path | None,
    budget: int | None,
    uncalibrated: bool,
    shard: Shard,
) -> Judged:
    """Ask a share of the questions about the images; the verdicts are those of the share, and are not exported."""
    planned = replace(planned, main=planned.main.of(shard.has))
    judged = _parse(run, planned)
    left = sum(verdict.state == "not_run" for verdict in judged.case_verdicts.values())
    if judged.gate is not None and not uncalibrated:
        if left:
            raise ValueError(
                f"expected a finished calibration before a `shard`, found {left} of its questions without a reply: run "
                "`lorarar judge calibrate` first"
            )
        if not judged.gate.passed:
            return judged
    outcome = _ask(run, planned.main, backend, cache, budget, "ask the judge", shard)
    return replace(_parse(run, planned), outcome=outcome)


def read_run(run: Path, planned: Planned) -> Judged:
    """Parse the stored replies into verdicts and export them; no question is asked."""
    judged = _parse(run, planned)
    export_verdicts(run / VERDICTS, planned.main.questions, judged.verdicts)
    return judged


def _parse(run: Path, planned: Planned) -> Judged:
    replies = read_replies(run / LOG)
    verdicts = read_verdicts(planned.main.questions, replies)
    questions = planned.calibration.questions
    if not questions:
        return Judged(planned, verdicts, {}, None, None)
    case_verdicts = write_calibration(run / CALIBRATION, planned.cases, questions, read_verdicts(questions, replies))
    return Judged(planned, verdicts, case_verdicts, evaluate_gate(planned.cases, case_verdicts), None)


def reread(run: Path, setup: Setup) -> Judged:
    """Parse the replies of a folder again with the current parser.

    Raises:
        ValueError: The folder holds no replies yet.
    """
    backend = read_backend(run)
    if backend is None:
        raise ValueError(f"expected replies in {run}, found none: run `lorarar judge run` first")
    return read_run(run, plan_all(run, setup, backend["identity"]))


def _ask(
    run: Path,
    plan: Plan,
    backend: Backend,
    cache: Path | None,
    budget: int | None,
    stage: str,
    shard: Shard | None = None,
) -> Outcome:
    return run_questions(
        plan.questions, backend, run / LOG, refused=plan.refused, cache=cache, budget=budget, stage=stage, shard=shard
    )


def _sum(first: Outcome, second: Outcome) -> Outcome:
    return Outcome(
        second.replies,
        first.asked + second.asked,
        first.cached + second.cached,
        first.failed + second.failed,
        first.left + second.left,
        second.stopped,
    )
