"""Score of a folder of images: a judge and the metrics, in one run folder with one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorarar.evaluation.judge import judge_by_name, plan_run, report_run
from lorarar.evaluation.judge.ask import read_setup
from lorarar.evaluation.metrics import MetricsConfig, run_metrics


@dataclass(frozen=True)
class ScoreRun:
    """Result of `run_score`.

    Attributes:
        text: What the judge and the metrics found, in a few lines.
        page: The report of both.
        code: The judge's exit code.
    """

    text: str
    page: Path
    code: int


def run_score(
    images: Path,
    references: Path,
    output: Path,
    *,
    layout: str | None = None,
    manifest: Path | None = None,
    ignore: Sequence[str] = (),
    reference_root: Path | None = None,
    splits: str | None = None,
    backend: str = "tiny",
    rubric: str = "mars2",
    cases: int = 16,
    metrics: MetricsConfig | None = None,
    labels: Path | None = None,
    device: str = "auto",
    concurrency: int | None = None,
    budget: int | None = None,
    uncalibrated: bool = False,
) -> ScoreRun:
    """Plan, measure, judge and report images in one folder; the same call goes on where an earlier one stopped.

    The metrics come first: they take seconds, and a mistake in the inputs ends the run before a judge is paid.

    Args:
        images, references, layout, manifest, ignore, reference_root, splits, rubric, cases: As
            `lorarar.evaluation.judge.plan_run` takes them.
        output: Folder of the run.
        backend, labels, device, concurrency, budget, uncalibrated: As `lorarar.evaluation.judge.judge_by_name` takes
            them.
        metrics: The encoders and other settings of the metrics, whose paths are replaced; None measures none.

    Raises:
        ValueError: An image, a reference or a setting is wrong, or the folder holds a run of other inputs.
        ConnectionError: A server does not answer.
    """
    plan_run(
        output,
        images,
        references,
        layout=layout,
        manifest=manifest,
        ignore=ignore,
        reference_root=reference_root,
        splits=splits,
        rubric=rubric,
        cases=cases,
        backend=backend,
    )
    lines = []
    if metrics is not None:
        # Without a layout and a manifest, the metrics read the manifest that the plan wrote into the folder.
        measured = replace(metrics, images=images, references=references, reference_root=reference_root, splits=splits)
        lines.append(run_metrics(replace(measured, output=output, layout=None, manifest=None)))
    setup = read_setup(output)
    judged = judge_by_name(
        output,
        setup,
        backend,
        labels=labels,
        device=device,
        concurrency=concurrency,
        budget=budget,
        uncalibrated=uncalibrated,
    )
    page = report_run(output, setup).page
    return ScoreRun("\n".join([*lines, judged.describe()]), page, judged.code(uncalibrated=uncalibrated))
