"""Metrics command: score images with an encoder."""

from __future__ import annotations

import argparse

from lorarar.cli.configurations import Commands, add_configured


def add(commands: Commands) -> None:
    """Add `metrics`."""
    add_configured(
        commands, "metrics", _run, "measure fidelity, controllability, diversity and base preservation of images"
    )


def _run(arguments: argparse.Namespace) -> None:
    from lorarar.evaluation.metrics import MetricsConfig, run_metrics
    from lorarar.storage import load_config

    print(run_metrics(load_config(MetricsConfig, arguments.config, arguments.overrides)))
