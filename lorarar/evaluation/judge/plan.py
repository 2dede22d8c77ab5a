"""Plan of a judging run: the questions about a folder of images, their number and their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import References, build_items, load_references, read_manifest
from lorarar.evaluation.judge.ask.cost import estimate, expect_reply
from lorarar.evaluation.judge.ask.perturbations import choose_items, draw_perturbations
from lorarar.evaluation.judge.ask.planning import Asking, Plan, plan_questions
from lorarar.evaluation.judge.ask.reply_log import read_replies
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.ask.run_folder import (
    CASES,
    LOG,
    MANIFEST,
    PERTURBATIONS,
    Setup,
    read_backend,
    write_setup,
)
from lorarar.evaluation.judge.trust.calibration import CalibrationCase, make_cases, plan_cases
from lorarar.evaluation.judge.trust.gate import describe_limits, perfect_gate


@dataclass(frozen=True)
class Planned:
    """All questions to one judge: the calibration's, whose right answers are known, and those about the images."""

    cases: tuple[CalibrationCase, ...]
    calibration: Plan
    main: Plan

    def missing_for_calibration(self) -> tuple[str, ...]:
        """Return the reasons why even a judge that is always right would fail the calibration; () where it passes."""
        questions = self.calibration.questions
        if not questions:
            return ()
        return perfect_gate(self.cases, [q.item for q in questions if q.id in self.calibration.refused]).reasons

    def check_calibration(self) -> None:
        """Check that a judge can pass the calibration.

        Raises:
            ValueError: There are too few cases.
        """
        if missing := self.missing_for_calibration():
            raise ValueError(
                f"expected a calibration that a judge can pass, found one with too few cases ({missing[0]}): plan "
                "another run with more `cases`, or pass `uncalibrated=True`"
            )


def plan_run(
    run: Path,
    images: Path,
    references: Path,
    *,
    layout: str | None = None,
    manifest: Path | None = None,
    ignore: Sequence[str] = (),
    reference_root: Path | None = None,
    splits: str | None = None,
    rubric: str = "mars2",
    swapped: bool = False,
    repeats: int = 1,
    cases: int = 16,
    perturbations: int = 0,
    backend: str | None = None,
    rate: float = 2.0,
    price: float | None = None,
    reply_price: float | None = None,
) -> str:
    """List, check and lock the images to judge in a run folder, and estimate the number and cost of the questions.

    Args:
        images: The folder of the images.
        references: The concept file of the references.
        layout: The pattern of the images' paths, from which the manifest is built.
        manifest: The file that lists the images, where there is no layout.
        reference_root, splits: See `lorarar.datasets.references.load_references`.
        rubric, swapped, repeats, cases, perturbations: See `lorarar.evaluation.judge.ask.run_folder.Setup`.
        backend: The back end whose tokens are estimated; None is the judge that answered in this folder before, else
            "tiny".
        rate, price, reply_price: See `lorarar.evaluation.judge.ask.cost.estimate`.

    Returns:
        The estimate, and whether a judge can pass the calibration, as text.

    Raises:
        ValueError: An image, a name, a reference or a number is wrong.
    """
    if min(repeats, cases) < 1 or rate <= 0 or perturbations < 0:
        raise ValueError(
            f"expected positive repeats, cases and rate and non-negative perturbations, found {repeats}, {cases}, "
            f"{rate} and {perturbations}"
        )
    concepts = load_references(references, root=reference_root, splits=splits)
    if layout:
        items = build_items(images, layout, concepts, ignore=ignore)
    else:
        items = read_manifest(manifest or run / MANIFEST)
    setup = Setup(images, tuple(items), concepts, load_rubric(rubric), swapped, repeats, cases, perturbations)
    if perturbations and setup.rubric.answer == "pairwise":
        raise ValueError(f"expected a rubric about single images for perturbations, found {setup.rubric.key}")
    setup = write_setup(run, setup, references=references, rubric=rubric)
    planned = plan_all(run, setup, {})
    lines = [f"{run}: {len(setup.items)} images, rubric {setup.rubric.key}"]
    recorded = read_backend(run)
    backend = backend or (recorded["name"] if recorded else "tiny")
    reply = expect_reply(backend, setup.rubric.answer, recorded, read_replies(run / LOG).values())
    for part, plan in (("calibration", planned.calibration), ("images", planned.main)):
        cost = estimate(plan, backend=backend, rate=rate, reply=reply.tokens, price=price, reply_price=reply_price)
        lines.append(f"{part}: {cost.describe()}")
    lines.append(f"tokens are those of the back end {backend}. A reply has {reply.tokens:.0f} tokens ({reply.source})")
    return "\n".join([*lines, *_describe_calibration(planned), *_describe_refused(planned.main)])


def plan_all(run: Path, setup: Setup, identity: Mapping[str, Any]) -> Planned:
    """Plan all questions to one judge; draw the degenerate images and the perturbed ones into the folder.

    Args:
        identity: Of the judge's back end, a part of each question's id.
    """
    asking = Asking(setup.rubric, identity, setup.swapped, setup.repeats)
    gallery = setup.gallery
    judged = _judged(setup)
    calibration = make_cases(judged, run / CASES, gallery, limit=setup.cases)
    chosen = choose_items(setup.items, setup.perturbations)
    perturbed = draw_perturbations(chosen, setup.images, run / PERTURBATIONS) if chosen else {}
    return Planned(
        calibration.cases,
        plan_cases(calibration, judged, asking, gallery),
        plan_questions(setup.items, judged, asking, root=setup.images, gallery=gallery, perturbed=perturbed),
    )


def case_labels(run: Path, setup: Setup) -> dict[tuple[str, str], int]:
    """Return the right answers to the calibration, by case id and axis, for the mocks."""
    cases = make_cases(_judged(setup), run / CASES, setup.gallery, limit=setup.cases).cases
    return {(case.id, case.axis): case.label for case in cases}


def _judged(setup: Setup) -> References:
    """Return the references of the judged concepts alone: a judge may have been trained on the others."""
    return References(setup.references.root, setup.concepts())


def _describe_calibration(planned: Planned) -> list[str]:
    """Return lines about whether a judge can pass the calibration, and about what its cases cannot show."""
    if not planned.calibration.questions:
        return ["calibration: none, since the rubric compares two images"]
    missing = planned.missing_for_calibration()
    passes = "no judge can pass it: plan with more cases" if missing else "a judge that is always right passes it"
    return [f"calibration: {line}" for line in (passes, *missing, *describe_limits(planned.cases))]


def _describe_refused(plan: Plan) -> list[str]:
    """Return one line for each item with refused questions."""
    reasons = {question.item: plan.refused[question.id] for question in plan.questions if question.id in plan.refused}
    return [f"cannot be asked: {item}: {reason}" for item, reason in reasons.items()]
