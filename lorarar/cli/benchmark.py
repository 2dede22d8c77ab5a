"""Commands that measure."""

from __future__ import annotations

import argparse

from lorarar.cli.configured import Commands, add_configured


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers `benchmark` and its kinds."""
    benchmark = commands.add_parser("benchmark", help="measure")
    kinds = benchmark.add_subparsers(required=True, metavar="KIND")
    add_configured(kinds, "gates", _gates, "whether the embedded default can rank merge methods")
    add_configured(kinds, "compare", _compare, "every shipped merger on the pairs of a split")
    add_configured(kinds, "zoo", _zoo_speed, "many LoRAs in one batch against one by one")


def _gates(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.gates import GatesConfig, run_gates
    from lorarar.config import load_config

    print(run_gates(load_config(GatesConfig, arguments.config, arguments.overrides)))


def _compare(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.compare import CompareConfig, run_compare
    from lorarar.config import load_config

    print(run_compare(load_config(CompareConfig, arguments.config, arguments.overrides)))


def _zoo_speed(arguments: argparse.Namespace) -> None:
    from lorarar.config import ZooConfig, load_config
    from lorarar.runs import run_zoo_speed

    print(run_zoo_speed(load_config(ZooConfig, arguments.config, arguments.overrides)))
