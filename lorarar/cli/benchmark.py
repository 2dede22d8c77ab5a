"""Commands that measure."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from lorarar.cli.configured import Commands, add_configured


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers `benchmark` and its kinds."""
    benchmark = commands.add_parser("benchmark", help="measure")
    kinds = benchmark.add_subparsers(required=True, metavar="KIND")
    add_configured(kinds, "gates", _gates, "whether the embedded default can rank merge methods")
    add_configured(kinds, "compare", _compare, "every shipped merger on the pairs of a split")
    _add_merge(kinds)
    add_configured(kinds, "zoo", _zoo_speed, "many LoRAs in one batch against one by one")


def _add_merge(kinds: Commands) -> None:  # type: ignore[type-arg]
    merge = kinds.add_parser("merge", help="merging against the dense formulation and against the speed of the disk")
    merge.add_argument("--family", default="sdxl", help="whose layers: sdxl, sd15, koala, flux")
    merge.add_argument("--rank", type=int, default=64)
    merge.add_argument("--repetitions", type=int, default=5)
    merge.add_argument("--json", action="store_true", help="print JSON")
    merge.set_defaults(run=_merge)


def _merge(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.merge import markdown, run_merge_benchmark

    with tempfile.TemporaryDirectory() as folder:
        found = run_merge_benchmark(
            arguments.family, arguments.rank, folder=Path(folder), repetitions=arguments.repetitions
        )
    print(json.dumps(found, indent=1) if arguments.json else markdown(found))


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
