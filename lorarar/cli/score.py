"""Score command: judge and metrics of a folder of images, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lorarar.cli.commands import Resumable, command
from lorarar.cli.exit_codes import OF_JUDGE
from lorarar.cli.judge_options import (
    Backend,
    Budget,
    Cases,
    Concurrency,
    Ignore,
    Images,
    Labels,
    Layout,
    Manifest,
    ReferenceFile,
    ReferenceRoot,
    RubricName,
    Splits,
    Uncalibrated,
    check_listing,
)
from lorarar.cli.options import IMAGES, OUTPUT, Device, option

NO_METRICS = "none"


def add(app: typer.Typer) -> None:
    """Add `score`."""
    command(app, "score", Resumable, IMAGES)(_score)


def _score(
    images: Images,
    references: ReferenceFile,
    layout: Layout = None,
    manifest: Manifest = None,
    ignore: Ignore = None,
    reference_root: ReferenceRoot = None,
    splits: Splits = None,
    backend: Backend = "tiny",
    rubric: RubricName = "mars2",
    cases: Cases = 16,
    metrics: Annotated[
        str | None,
        option(
            "--metrics",
            value="CONFIG",
            text="Encoders of the metrics: a configuration, or none for no metrics.",
            default="metrics/embedded with the judge tiny, else metrics/photos",
        ),
    ] = None,
    labels: Labels = None,
    device: Device = "auto",
    concurrency: Concurrency = None,
    budget: Budget = None,
    uncalibrated: Uncalibrated = False,
    output: Annotated[
        Path, option("-o", "--output", value="RUN", text="Folder of the run, with report.html.", panel=OUTPUT)
    ] = Path("runs/score"),
) -> int:
    """Judge images and measure their metrics: plan, calibrate, ask and report in one command.

    Example: lorarar score images --references concepts.yaml --layout "{method}/{content}+{style}/{seed}.png"
    """
    from lorarar.cli.configurations import read
    from lorarar.evaluation.metrics import MetricsConfig
    from lorarar.workflows import PLACEHOLDERS, run_score

    check_listing(layout, manifest)
    measured: MetricsConfig | Literal["default"] | None = "default"
    if metrics:
        measured = None if metrics == NO_METRICS else read(MetricsConfig, metrics, PLACEHOLDERS)
    scored = run_score(
        images,
        references,
        output,
        layout=layout,
        manifest=manifest,
        ignore=ignore or (),
        reference_root=reference_root,
        splits=splits,
        backend=backend,
        rubric=rubric,
        cases=cases,
        metrics=measured,
        labels=labels,
        device=device,
        concurrency=concurrency,
        budget=budget,
        uncalibrated=uncalibrated,
    )
    print(scored.text)
    print(scored.page)
    return OF_JUDGE[scored.status]
