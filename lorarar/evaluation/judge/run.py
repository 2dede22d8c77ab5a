"""One judging run from its folder: calibrate, ask, read the verdicts, export."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from lorarar.evaluation.judge.ask.backends.loading import open_backend
from lorarar.evaluation.judge.ask.backends.mocks import read_right_answers
from lorarar.evaluation.judge.ask.planning import Plan
from lorarar.evaluation.judge.ask.reply_log import export_verdicts, read_replies, read_verdicts
from lorarar.evaluation.judge.ask.run_folder import CALIBRATION, LOG, VERDICTS, Setup, read_backend, write_backend
from lorarar.evaluation.judge.ask.runner import Outcome, run_questions
from lorarar.evaluation.judge.plan import Planned, case_labels, plan_all
from lorarar.evaluation.judge.records import Backend, Verdict
from lorarar.evaluation.judge.trust.calibration import write_calibration
from lorarar.evaluation.judge.trust.gate import CalibrationGate, evaluate_gate
from lorarar.evaluation.judge.trust.labels import read_imported

COMPLETE, USAGE, INCOMPLETE, GATE_FAILED, BUDGET = 0, 2, 3, 4, 5


@dataclass(frozen=True)
class Judged:
    """What is known after asking.

    Attributes:
        verdicts: by question id; case_verdicts: by case id.
        gate: None where the rubric has no calibration.
        outcome: of the asking; None when nothing was asked.
    """

    planned: Planned
    verdicts: dict[str, Verdict]
    case_verdicts: dict[str, Verdict]
    gate: CalibrationGate | None
    outcome: Outcome | None

    def code(self, *, uncalibrated: bool = False, calibrate_only: bool = False) -> int:
        """The exit code: what is most wrong."""
        if self.outcome is not None and self.outcome.stopped == "budget":
            return BUDGET
        if self.gate is not None and not self.gate.passed and not uncalibrated:
            return GATE_FAILED
        verdicts = self.case_verdicts if calibrate_only else self.verdicts
        return COMPLETE if all(verdict.state == "ok" for verdict in verdicts.values()) else INCOMPLETE

    def describe(self) -> str:
        """A few lines for people."""
        states = Counter(self.verdicts[question.id].state for question in self.planned.main.questions)
        lines = [
            f"{len(self.planned.main.questions)} questions: " + ", ".join(f"{n} {s}" for s, n in sorted(states.items()))
        ]
        if self.outcome is not None:
            lines.append(
                f"asked {self.outcome.asked} now, {self.outcome.failed} failed, {self.outcome.cached} from the cache"
            )
            if self.outcome.stopped:
                lines.append(f"stopped: {self.outcome.stopped}")
        if self.gate is not None:
            lines.append("calibration: " + ("passed" if self.gate.passed else "FAILED"))
            lines += [f"  {reason}" for reason in self.gate.reasons]
        return "\n".join(lines)


def judge_by_name(
    run: Path,
    setup: Setup,
    name: str,
    *,
    labels: Path | None = None,
    device: str = "cpu",
    concurrency: int | None = None,
    cache: Path | None = None,
    budget: int | None = None,
    uncalibrated: bool = False,
    calibrate_only: bool = False,
) -> Judged:
    """Opens a back end, see `lorarar.evaluation.judge.ask.backends.open_backend`, and judges, see `judge`."""
    known = (
        case_labels(run, setup) | (read_right_answers(labels) if labels else {}) if name.startswith("mock:") else None
    )
    backend = open_backend(
        name,
        labels=known,
        answer=setup.rubric.answer,
        concurrency=concurrency,
        recorded=(read_backend(run) or {}).get("identity"),
        device=device,
    )
    return judge(
        run,
        setup,
        backend,
        name,
        cache=cache,
        budget=budget,
        uncalibrated=uncalibrated,
        calibrate_only=calibrate_only,
        progress=True,
    )


def judge(
    run: Path,
    setup: Setup,
    backend: Backend,
    name: str,
    *,
    cache: Path | None = None,
    budget: int | None = None,
    uncalibrated: bool = False,
    calibrate_only: bool = False,
    progress: bool = False,
) -> Judged:
    """Asks everything that is missing: the calibration first; the rest when the judge has passed it.

    Args:
        name: what the back end was opened by.
        cache: a folder of replies that runs share; budget: the most calls to make.
        uncalibrated: ask the rest of a judge that failed, too.

    Raises:
        ValueError: another judge answered in this folder.
        OSError: the folder cannot be written, or another run uses it.
    """
    planned = plan_all(run, setup, backend.identity)
    write_backend(run, name, backend.identity)
    first = _run(run, planned.calibration, backend, cache, budget, progress)
    found = read_run(run, planned)
    passed = found.gate is None or found.gate.passed or uncalibrated
    if calibrate_only or not passed or first.stopped:
        return replace(found, outcome=first)
    left = None if budget is None else budget - first.asked
    second = _run(run, planned.main, backend, cache, left, progress)
    return replace(read_run(run, planned), outcome=_sum(first, second))


def read_run(run: Path, planned: Planned) -> Judged:
    """Reads the verdicts off the stored replies and exports them, without asking anybody."""
    replies = read_replies(run / LOG)
    verdicts = read_verdicts(planned.main.questions, replies)
    export_verdicts(run / VERDICTS, planned.main.questions, verdicts)
    asked = planned.calibration.questions
    if not asked:
        return Judged(planned, verdicts, {}, None, None)
    case_verdicts = write_calibration(run / CALIBRATION, planned.cases, asked, read_verdicts(asked, replies))
    return Judged(planned, verdicts, case_verdicts, evaluate_gate(planned.cases, case_verdicts), None)


def reread(run: Path, setup: Setup) -> Judged:
    """What a folder holds, read anew with the parser of today.

    Raises:
        ValueError: nobody was asked yet.
    """
    known = read_backend(run)
    if known is None:
        raise ValueError(f"expected replies in {run}, found none: run `lorarar judge run` first")
    return read_run(run, plan_all(run, setup, known["identity"]))


def report_run(run: Path, setup: Setup) -> tuple[Judged, Path]:
    """Reads a folder anew and writes its report: results.json, results.csv and the page, whose path is returned."""
    from lorarar.evaluation.judge.report.page import write_report  # here: it draws, which asking does not need

    found, backend = reread(run, setup), read_backend(run)
    path = write_report(
        run,
        rubric=setup.rubric,
        items=setup.items,
        concepts=setup.concepts(),
        questions=found.planned.main.questions,
        verdicts=found.verdicts,
        cases=found.planned.cases if found.gate else (),
        case_verdicts=found.case_verdicts,
        backend_identity=backend["identity"] if backend else {},
        image_root=setup.images,
        reference_root=setup.references.root,
        labels=read_imported(run, setup),
    )
    return found, path


def _run(run: Path, plan: Plan, backend: Backend, cache: Path | None, budget: int | None, progress: bool) -> Outcome:
    return run_questions(
        plan.questions, backend, run / LOG, refused=plan.refused, cache=cache, budget=budget, progress=progress
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
