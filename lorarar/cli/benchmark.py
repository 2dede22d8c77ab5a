"""Benchmark commands: gates, quality, and speed."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import lorarar.benchmark as benchmark
import lorarar.benchmark.quality as quality
import lorarar.benchmark.size as size
import lorarar.benchmark.speed as speed
import lorarar.workflows as workflows
from lorarar.cli.commands import command, new_app
from lorarar.cli.configurations import Overrides, Source, add_configured, configured, read
from lorarar.cli.options import FLAG, REPRODUCE, BaseDtype, Device, Json, option
from lorarar.cli.values import whole_number


def _count(name: str, text: str) -> object:
    return option(name, value="N", text=text, parser=whole_number)


Base = Annotated[
    str,
    option(
        "--base",
        value="MODEL",
        text='"embedded", "sdxl" (its denoiser with random weights), a folder or a hub id.',
    ),
]
Checkpointing = Annotated[
    bool, option("--gradient-checkpointing", value=FLAG, text="Recompute activations in the backward pass.")
]
Repetitions = Annotated[int, _count("--repetitions", "Repetitions of each measurement.")]


def add(app: typer.Typer) -> None:
    """Add `benchmark` and its kinds."""
    kinds = new_app(help="Measure the quality and the speed of mergers.")
    add_configured(
        kinds,
        "gates",
        lambda: benchmark.GatesConfig,
        lambda config: print(benchmark.run_gates(config)),
        "Check that the embedded default can rank mergers.",
    )
    command(kinds, "quality", configured(lambda: quality.QualityConfig))(_quality)
    command(kinds, "merge")(_merge)
    command(kinds, "training")(_training)
    command(kinds, "size")(_size)
    command(kinds, "speedup")(_speedup)
    add_configured(
        kinds,
        "zoo",
        lambda: workflows.ZooConfig,
        lambda config: print(speed.run_zoo_speed(config)),
        "Compare training many LoRAs in one batch with training one by one.",
    )
    app.add_typer(kinds, name="benchmark", rich_help_panel=REPRODUCE)


def _quality(
    source: Source,
    overrides: Overrides = None,
    plan: Annotated[
        bool, option("--plan", value=FLAG, text="Print the images, hours and GB that a run takes, without running.")
    ] = False,
) -> None:
    """Compare mergers on the pairs of a split, by their images."""
    config = read(quality.QualityConfig, source, overrides or ())
    print(quality.plan_quality(config) if plan else quality.run_quality(config))


def _merge(
    family: Annotated[
        str, option("--family", value="NAME", text="Family whose layers are merged: sdxl, sd15, koala, flux.")
    ] = "sdxl",
    rank: Annotated[int, _count("--rank", "Rank of both LoRAs.")] = 64,
    repetitions: Repetitions = 5,
    processes: Annotated[
        bool,
        option("--processes", value=FLAG, text="Measure whole commands of many mergers beside the floor instead."),
    ] = False,
    only: Annotated[
        list[str] | None,
        option("--only", value="NAME", text="With --processes: a command, such as knots; repeatable.", default="all"),
    ] = None,
    json_: Json = False,
) -> None:
    """Compare merging with the dense formulation and the speed of the disk."""
    if only and not processes:
        raise typer.BadParameter("expected --processes with --only, which names its commands: add it, or drop --only")
    measure = (
        partial(speed.run_process_benchmark, names=only or tuple(speed.BOUNDS))
        if processes
        else speed.run_merge_benchmark
    )
    table = speed.process_table if processes else speed.merge_table
    with tempfile.TemporaryDirectory() as folder:
        results = measure(family, rank, folder=Path(folder), repetitions=repetitions)
    print(json.dumps(results, indent=1) if json_ else table(results))


def _size(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="Base: sd15, sdxl, koala, sd3, flux, flux2-klein.")],
    json_: Json = False,
) -> None:
    """Count parameters, memory and operations of the work on a full-size base, without its weights."""
    report = size.size_report(family)
    print(json.dumps(report, indent=1) if json_ else size.size_table(report))


def _training(
    base: Base = "embedded",
    pairs: Annotated[int, _count("--pairs", "Pairs per step.")] = 2,
    images: Annotated[int, _count("--images", "Images per step of each concept of a pair.")] = 2,
    repetitions: Repetitions = 20,
    device: Device = "auto",
    dtype: BaseDtype = "fp32",
    gradient_checkpointing: Checkpointing = False,
    json_: Json = False,
) -> None:
    """Compare a training step with the released formulation."""
    config = speed.TrainingSpeedConfig(
        base=base,
        pairs=pairs,
        images=images,
        repetitions=repetitions,
        device=device,
        dtype=dtype,
        gradient_checkpointing=gradient_checkpointing,
    )
    results = speed.run_training_benchmark(config)
    print(json.dumps(results) if json_ else speed.training_table([results]))


def _speedup(
    base: Base = "embedded",
    steps: Annotated[int, _count("--steps", "How many of ZipLoRA's 100 steps are run.")] = 100,
    repetitions: Repetitions = 20,
    device: Device = "auto",
    dtype: BaseDtype = "fp32",
    gradient_checkpointing: Checkpointing = False,
    json_: Json = False,
) -> None:
    """Compare the prediction of a hypernetwork with ZipLoRA."""
    config = speed.SpeedupConfig(
        base=base,
        steps=steps,
        repetitions=repetitions,
        device=device,
        dtype=dtype,
        gradient_checkpointing=gradient_checkpointing,
    )
    results = speed.run_speedup_benchmark(config)
    print(json.dumps(results, indent=1) if json_ else speed.speedup_table(results))
