"""Processes: whole commands of a user beside the floor, in turns: seconds, processor seconds and peak memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from lorarar.benchmark.speed import floor
from lorarar.benchmark.speed.launch import run_launched
from lorarar.benchmark.speed.machine import describe_machine, machine_line
from lorarar.benchmark.speed.synthetic import attention_shapes, synthetic_lora
from lorarar.formats import save
from lorarar.hypernetwork import new_merger, save_merger
from lorarar.storage import unknown_name

FLOOR = "floor"
# Name -> how many times the floor's seconds a command on two rank-64 SDXL files may take; None where no bound was set.
BOUNDS: Mapping[str, float | None] = {
    "auto": None,
    "direct": 1.3,
    "network: paper": 1.3,
    "network: layerwise": 1.3,
    "direct --rank 64": 5.0,
    "np_lora": 5.0,
    "knots": 5.0,
    "ties --dense": 12.0,
    "ties": 15.0,
    "ties --rank 64": 15.0,
    "dare_ties": None,
    "tsv_m": None,
    "iso_c": None,
    "iso_cts": None,
    "direct --svc 0.5": None,
    "inspect --compare": 2.0,
}


def run_process_benchmark(
    family: str = "sdxl", rank: int = 64, *, folder: Path, repetitions: int = 3, names: Sequence[str] = tuple(BOUNDS)
) -> dict[str, Any]:
    """Measure commands on two random fp16 LoRAs of all attention projections of a base model beside the floor.

    Args:
        family: One of `lorarar.benchmark.speed.synthetic.SIZES`.
        rank: Rank of both LoRAs.
        folder: Folder for the files: both LoRAs, two random networks, the merges.
        repetitions: Rounds; each runs every command, and the floor before each command.
        names: Commands, among `BOUNDS`.

    Returns:
        Plain data, fit for JSON: the machine, the files, and for each command the medians of its seconds, of its
        processor seconds, of both over those of the floor before it ("times", "cpu_times"), and of its peak bytes; its
        bound; all runs.

    Raises:
        ValueError: The family or a command is unknown.
    """
    for name in names:
        if name not in BOUNDS:
            raise ValueError(unknown_name("a command", name, BOUNDS))
    commands = _commands(family, rank, folder)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    floors: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for command in (commands[FLOOR], commands["direct"]):  # fills the file cache, compiles bytecode
        run_launched(command)
    for _ in range(repetitions):
        for name in names:
            floors[name].append(run_launched(commands[FLOOR]))
            runs[name].append(run_launched(commands[name]))
    return {
        "family": family,
        "rank": rank,
        "layers": len(attention_shapes(family)),
        "repetitions": repetitions,
        "machine": describe_machine(),
        "commands": {name: {**_summary(runs[name], floors[name]), "bound": BOUNDS[name]} for name in names},
        "floor_peak_bytes": median(run["peak_bytes"] for of_command in floors.values() for run in of_command),
        "all": runs,
        "floors": floors,
    }


def process_table(results: Mapping[str, Any]) -> str:
    """Return the results as a table for people."""
    lines = [
        f"Two {results['family']} LoRAs of rank {results['rank']}, {results['layers']} layers, fp16; whole processes, "
        f"medians of {results['repetitions']} rounds, each beside the floor before it, whose peak memory is "
        f"{results['floor_peak_bytes'] / 1e9:.2f} GB.",
        machine_line(results["machine"]),
        "",
        "| command | times the floor's time | of its processor time | bound | peak memory, GB |",
        "|---|---|---|---|---|",
    ]
    for name, result in results["commands"].items():
        bound = "" if result["bound"] is None else f"{result['bound']:g}"
        lines.append(
            f"| {name} | {result['times']:.2f} | {result['cpu_times']:.2f} | {bound} | "
            f"{result['peak_bytes'] / 1e9:.2f} |"
        )
    return "\n".join(lines)


def _summary(runs: Sequence[Mapping[str, float]], floors: Sequence[Mapping[str, float]]) -> dict[str, float]:
    medians = {key: median(run[key] for run in runs) for key in runs[0]}
    pairs = list(zip(runs, floors, strict=True))
    times = median(run["seconds"] / least["seconds"] for run, least in pairs)
    cpu_times = median(run["cpu_seconds"] / least["cpu_seconds"] for run, least in pairs)
    return {**medians, "times": times, "cpu_times": cpu_times}


def _commands(family: str, rank: int, folder: Path) -> dict[str, list[str]]:
    """Write the inputs, and return the command of each name."""
    files = [folder / f"{name}.safetensors" for name in ("content", "style")]
    for seed, file in enumerate(files):
        lora = synthetic_lora(family, rank, seed)
        save(lora, file, force=True)
    torch.manual_seed(0)
    networks = {kind: folder / f"{kind}.safetensors" for kind in ("paper", "layerwise")}
    for kind, file in networks.items():
        save_merger(new_merger(kind, lora, {}), file, force=True)
    inputs, output = [str(file) for file in files], str(folder / "merged.safetensors")
    program = [sys.executable, "-m", "lorarar.cli"]
    # Without reading the file again, which the floor does not do either.
    merge = [*program, "merge", *inputs, "-o", output, "--force", "--no-verify"]
    commands = {FLOOR: [sys.executable, str(floor.__file__), *inputs, output]}
    for name in BOUNDS:
        kind = name.removeprefix("network: ")
        method = ["--network", str(networks[kind])] if kind in networks else ["--merger", *name.split()]
        commands[name] = [*merge, *method]
    return {**commands, "inspect --compare": [*program, "inspect", inputs[0], "--compare", inputs[1]]}
