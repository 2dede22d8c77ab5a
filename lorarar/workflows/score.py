"""Score of a folder of images: a judge and the metrics, in one run folder with one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Unpack

from lorarar.evaluation.judge import AskOptions, Status, judge_folder, plan_run
from lorarar.evaluation.metrics import MetricsConfig, run_metrics
from lorarar.storage import load_config

PLACEHOLDERS = ("images=.", "references=.", "output=.")  # required in a configuration, replaced by those of the run


@dataclass(frozen=True)
class ScoreRun:
    """Result of `run_score`.

    Attributes:
        text: What the judge and the metrics found, in a few lines.
        page: The report of both.
        status: The judge's most serious problem, or "complete".
    """

    text: str
    page: Path
    status: Status


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
    metrics: MetricsConfig | Literal["default"] | None = "default",
    **options: Unpack[AskOptions],
) -> ScoreRun:
    """Plan, measure, judge and report images in one folder; the same call goes on where an earlier one stopped.

    The metrics come first: they take seconds, and a mistake in the inputs ends the run before a judge is paid.

    Args:
        images, references, layout, manifest, ignore, reference_root, splits, rubric, cases: As
            `lorarar.evaluation.judge.plan_run` takes them.
        output: Folder of the run.
        backend: The judge, as `lorarar.evaluation.judge.judge_by_name` takes it.
        metrics: The encoders and other settings of the metrics, whose paths and device are replaced; "default" is the
            configuration metrics/embedded with the judge "tiny", else metrics/photos; None measures none.
        options: How the judge is asked, see `lorarar.evaluation.judge.AskOptions`.

    Raises:
        ValueError: An image, a reference or a setting is wrong, or the folder holds a run of other inputs.
        ConnectionError: A server does not answer.
    """
    settings = _default_metrics(backend) if isinstance(metrics, str) else metrics
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
    device: Any = options.get("device", "auto")  # also cuda:1, which a configuration does not name
    if settings is not None:
        # Without a layout and a manifest, the metrics read the manifest that the plan wrote into the folder.
        measured = replace(settings, images=images, references=references, reference_root=reference_root, splits=splits)
        measured = replace(measured, output=output, layout=None, manifest=None, device=device)
        lines.append(run_metrics(measured))
    found = judge_folder(output, backend, **options)
    status = found.judged.status(uncalibrated=options.get("uncalibrated", False))
    return ScoreRun("\n".join([*lines, found.judged.describe()]), found.page, status)


def _default_metrics(backend: str) -> MetricsConfig:
    """Return the metrics that suit the images of a judge: the embedded judge is for the embedded world."""
    return load_config(MetricsConfig, "metrics/embedded" if backend == "tiny" else "metrics/photos", PLACEHOLDERS)
