"""Before anybody is asked: what a folder of images comes to in questions, calls and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import References, build_items, load_references, read_manifest
from lorarar.evaluation.judge.ask.perturbations import choose_items, draw_perturbations
from lorarar.evaluation.judge.ask.planning import Asking, Plan, estimate, plan_questions
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.ask.run_folder import CASES, MANIFEST, PERTURBATIONS, Setup, write_setup
from lorarar.evaluation.judge.trust.calibration import CalibrationCase, make_cases, plan_cases


@dataclass(frozen=True)
class Planned:
    """Everything that one judge is to be asked about a set-up."""

    cases: tuple[CalibrationCase, ...]
    calibration: Plan
    main: Plan


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
    backend: str = "tiny",
    rate: float = 2.0,
    price: float | None = None,
) -> str:
    """Lists, checks and locks what will be judged, in a folder, and estimates what asking will take.

    Args:
        images: the folder of the images; `layout` reads a manifest off their paths, or `manifest` lists them.
        references, reference_root, splits: see `lorarar.datasets.references.load_references`.
        backend, rate, price: see `lorarar.evaluation.judge.ask.planning.estimate`.

    Returns:
        The estimate, in words.

    Raises:
        ValueError: anything about images, names or references is wrong.
    """
    if min(repeats, cases) < 1 or rate <= 0 or perturbations < 0:
        raise ValueError(
            f"expected positive repeats, cases and rate and no negative perturbations, found {repeats}, {cases}, {rate} "
            f"and {perturbations}"
        )
    known = load_references(references, root=reference_root, splits=splits)
    items = build_items(images, layout, known, ignore=ignore) if layout else read_manifest(manifest or run / MANIFEST)
    setup = Setup(images, tuple(items), known, load_rubric(rubric), swapped, repeats, cases, perturbations)
    if perturbations and setup.rubric.answer == "pairwise":
        raise ValueError(f"expected a rubric that asks about one image, for perturbations, found {setup.rubric.key}")
    setup = write_setup(run, setup, references=references, rubric=rubric)
    planned = plan_all(run, setup, {})
    costs = [estimate(plan, backend=backend, rate=rate, price=price) for plan in (planned.calibration, planned.main)]
    lines = [f"{run}: {len(setup.items)} images, rubric {setup.rubric.key}"]
    lines += [f"{part}: {cost.describe()}" for part, cost in zip(("calibration", "images"), costs, strict=True)]
    refused = [question for question in planned.main.questions if question.id in planned.main.refused]
    lines += [f"cannot be asked: {q.item}: {planned.main.refused[q.id]}" for q in {q.item: q for q in refused}.values()]
    return "\n".join(lines)


def plan_all(run: Path, setup: Setup, identity: Mapping[str, Any]) -> Planned:
    """All questions to one judge; the calibration's degenerate images and the perturbations are drawn into the folder."""
    asking = Asking(setup.rubric, identity, setup.swapped, setup.repeats)
    gallery = setup.gallery
    judged = _judged(setup)
    calibration = make_cases(judged, run / CASES, gallery, limit=setup.cases)
    chosen = choose_items(setup.items, setup.perturbations)
    changed = draw_perturbations(chosen, setup.images, run / PERTURBATIONS) if chosen else {}
    return Planned(
        calibration.cases,
        plan_cases(calibration, judged, asking, gallery),
        plan_questions(setup.items, judged, asking, root=setup.images, gallery=gallery, changed=changed),
    )


def case_labels(run: Path, setup: Setup) -> dict[tuple[str, str], int]:
    """The right answers to the calibration, by case id and axis, for the mocks."""
    cases = make_cases(_judged(setup), run / CASES, setup.gallery, limit=setup.cases).cases
    return {(case.id, case.axis): case.label for case in cases}


def _judged(setup: Setup) -> References:
    """The references of what is judged alone: others, which a judge may have been trained on, tell nothing about it."""
    return References(setup.references.root, setup.concepts())
