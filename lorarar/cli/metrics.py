"""Metrics command: score images with an encoder."""

from __future__ import annotations

import typer

import lorarar.evaluation.metrics as metrics
from lorarar.cli.configurations import add_configured
from lorarar.cli.options import IMAGES


def add(app: typer.Typer) -> None:
    """Add `metrics`."""
    add_configured(
        app,
        "metrics",
        lambda: metrics.MetricsConfig,
        lambda config: print(metrics.run_metrics(config)),
        "Measure fidelity, controllability, diversity and base preservation of images.",
        IMAGES,
    )
