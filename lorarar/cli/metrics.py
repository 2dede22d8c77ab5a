"""Commands that score images by an encoder: `lorarar metrics CONFIG`, and tools beside it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from lorarar.cli.configurations import Commands, add_configured
from lorarar.cli.metrics_tools import add_tools

_DEFAULT = "run"


class _Steps(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Sub-commands of which one needs no name: a first word that names none is the configuration of `run`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        words = [values] if isinstance(values, str) else list(values or ())
        named = words[:1] and words[0] in self._name_parser_map
        super().__call__(parser, namespace, words if named else [_DEFAULT, *words], option_string)


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers `metrics` and its steps."""
    metrics = commands.add_parser(
        "metrics", help="fidelity, controllability, diversity and base preservation of images"
    )
    steps = metrics.add_subparsers(
        action=_Steps, required=True, dest="step", metavar="[STEP] CONFIG", help="without a step: run CONFIG"
    )
    steps.choices = None  # any word may come first
    add_configured(steps, _DEFAULT, _run, "measure what a configuration names")
    add_tools(steps)


def _run(arguments: argparse.Namespace) -> None:
    from lorarar.evaluation.metrics import MetricsConfig, run_metrics
    from lorarar.storage import load_config

    print(run_metrics(load_config(MetricsConfig, arguments.config, arguments.overrides)))
