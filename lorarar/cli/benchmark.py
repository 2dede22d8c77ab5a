"""Commands that measure."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from lorarar.cli.configurations import Commands, add_configured

C = TypeVar("C")


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers `benchmark` and its kinds."""
    benchmark = commands.add_parser("benchmark", help="measure")
    kinds = benchmark.add_subparsers(required=True, metavar="KIND")
    add_configured(kinds, "gates", _gates, "whether the embedded default can rank merge methods")
    quality = add_configured(kinds, "quality", _quality, "every merger on the pairs of a split, by its images")
    quality.add_argument("--plan", action="store_true", help="print images, hours and GB, and run nothing")
    _add_merge(kinds)
    _add_training(kinds)
    _add_speedup(kinds)
    add_configured(kinds, "zoo", _zoo_speed, "many LoRAs in one batch against one by one")


def _add_merge(kinds: Commands) -> None:  # type: ignore[type-arg]
    merge = kinds.add_parser("merge", help="merging against the dense formulation and against the speed of the disk")
    merge.add_argument("--family", default="sdxl", help="whose layers: sdxl, sd15, koala, flux")
    merge.add_argument("--rank", type=int, default=64)
    merge.add_argument("--repetitions", type=int, default=5)
    merge.add_argument("--json", action="store_true", help="print JSON")
    merge.set_defaults(run=_merge)


def _add_training(kinds: Commands) -> None:  # type: ignore[type-arg]
    training = kinds.add_parser("training", help="a hypernetwork's training step against the released formulation")
    _add_base(training)
    training.add_argument("--pairs", type=int, default=2, help="pairs a step")
    training.add_argument("--images", type=int, default=2, help="images a step of each concept of a pair")
    training.set_defaults(run=_training)


def _add_speedup(kinds: Commands) -> None:  # type: ignore[type-arg]
    speedup = kinds.add_parser("speedup", help="a hypernetwork's prediction against ZipLoRA's optimisation")
    _add_base(speedup)
    speedup.add_argument("--steps", type=int, default=100, help="of ZipLoRA's 100, how many are taken; 0: arithmetic")
    speedup.set_defaults(run=_speedup)


def _add_base(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--base", default="embedded", help='"embedded", "sdxl" (its denoiser with random weights), a folder or a hub id'
    )
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--dtype", default="float32", help="of the base: float32, bfloat16, float16")
    command.add_argument("--gradient-checkpointing", action="store_true")
    command.add_argument("--repetitions", type=int, default=20)
    command.add_argument("--json", action="store_true", help="print JSON")


def _training(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.speed import TrainingSpeedConfig, run_training_benchmark, training_table

    found = run_training_benchmark(_filled(TrainingSpeedConfig, arguments))
    print(json.dumps(found) if arguments.json else training_table([found]))


def _speedup(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.speed import SpeedupConfig, run_speedup_benchmark, speedup_table

    found = run_speedup_benchmark(_filled(SpeedupConfig, arguments))
    print(json.dumps(found, indent=1) if arguments.json else speedup_table(found))


def _filled(kind: type[C], arguments: argparse.Namespace) -> C:
    """A configuration from the arguments of its fields' names."""
    given = vars(arguments)
    return kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})  # type: ignore[arg-type]


def _merge(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.speed import merge_table, run_merge_benchmark

    with tempfile.TemporaryDirectory() as folder:
        found = run_merge_benchmark(
            arguments.family, arguments.rank, folder=Path(folder), repetitions=arguments.repetitions
        )
    print(json.dumps(found, indent=1) if arguments.json else merge_table(found))


def _gates(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark import GatesConfig, run_gates
    from lorarar.storage import load_config

    print(run_gates(load_config(GatesConfig, arguments.config, arguments.overrides)))


def _quality(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.quality import QualityConfig, plan_quality, run_quality
    from lorarar.storage import load_config

    config = load_config(QualityConfig, arguments.config, arguments.overrides)
    print(plan_quality(config) if arguments.plan else run_quality(config))


def _zoo_speed(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.speed import run_zoo_speed
    from lorarar.storage import load_config
    from lorarar.workflows import ZooConfig

    print(run_zoo_speed(load_config(ZooConfig, arguments.config, arguments.overrides)))
