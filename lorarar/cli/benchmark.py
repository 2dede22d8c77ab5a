"""Benchmark commands: gates, quality, and speed."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from lorarar.cli.configurations import Commands, add_configured
from lorarar.cli.options import add_device, add_json

ConfigT = TypeVar("ConfigT")


def add(commands: Commands) -> None:
    """Add `benchmark` and its kinds."""
    benchmark = commands.add_parser("benchmark", help="measure quality and speed")
    kinds = benchmark.add_subparsers(required=True, metavar="KIND")
    add_configured(kinds, "gates", _gates, "check that the embedded default can rank mergers")
    quality = add_configured(kinds, "quality", _quality, "compare mergers on the pairs of a split, by their images")
    quality.add_argument(
        "--plan", action="store_true", help="print the images, hours and GB that a run takes, without running"
    )
    _add_merge(kinds)
    _add_training(kinds)
    _add_speedup(kinds)
    add_configured(kinds, "zoo", _zoo_speed, "compare training many LoRAs in one batch with training one by one")


def _add_merge(kinds: Commands) -> None:
    merge = kinds.add_parser("merge", help="compare merging with the dense formulation and the speed of the disk")
    merge.add_argument("--family", default="sdxl", help="family whose layers are merged: sdxl, sd15, koala, flux")
    merge.add_argument("--rank", type=int, default=64, help="rank of both LoRAs")
    merge.add_argument("--repetitions", type=int, default=5, help="repetitions of each measurement")
    add_json(merge)
    merge.set_defaults(run=_merge)


def _add_training(kinds: Commands) -> None:
    training = kinds.add_parser("training", help="compare a training step with the released formulation")
    _add_base(training)
    training.add_argument("--pairs", type=int, default=2, help="pairs per step")
    training.add_argument("--images", type=int, default=2, help="images per step of each concept of a pair")
    training.set_defaults(run=_training)


def _add_speedup(kinds: Commands) -> None:
    speedup = kinds.add_parser("speedup", help="compare the prediction of a hypernetwork with ZipLoRA")
    _add_base(speedup)
    speedup.add_argument("--steps", type=int, default=100, help="how many of ZipLoRA's 100 steps are run")
    speedup.set_defaults(run=_speedup)


def _add_base(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--base", default="embedded", help='"embedded", "sdxl" (its denoiser with random weights), a folder or a hub id'
    )
    add_device(command)
    command.add_argument("--dtype", default="float32", help="precision of the base: float32, bfloat16, float16")
    command.add_argument(
        "--gradient-checkpointing", action="store_true", help="recompute activations in the backward pass"
    )
    command.add_argument("--repetitions", type=int, default=20, help="repetitions of each measurement")
    add_json(command)


def _training(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.speed import TrainingSpeedConfig, run_training_benchmark, training_table

    results = run_training_benchmark(_config(TrainingSpeedConfig, arguments))
    print(json.dumps(results) if arguments.json else training_table([results]))


def _speedup(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.speed import SpeedupConfig, run_speedup_benchmark, speedup_table

    results = run_speedup_benchmark(_config(SpeedupConfig, arguments))
    print(json.dumps(results, indent=1) if arguments.json else speedup_table(results))


def _config(kind: type[ConfigT], arguments: argparse.Namespace) -> ConfigT:
    """Return a configuration from the arguments that bear the names of its fields."""
    values, names = vars(arguments), [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    return kind(**{name: values[name] for name in names if name in values})


def _merge(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.speed import merge_table, run_merge_benchmark

    with tempfile.TemporaryDirectory() as folder:
        results = run_merge_benchmark(
            arguments.family, arguments.rank, folder=Path(folder), repetitions=arguments.repetitions
        )
    print(json.dumps(results, indent=1) if arguments.json else merge_table(results))


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
