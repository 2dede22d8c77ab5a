"""Merge benchmark: merging against the released code's dense formulation and the speed of the disk, in one run.

Every measurement is a process of its own, so that its peak memory is its own. The kinds take turns, and medians are
reported. The benchmark needs Linux (/proc).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from lorarar.benchmark.speed import floor
from lorarar.benchmark.speed.launch import run_launched
from lorarar.benchmark.speed.machine import available_bytes, describe_machine, machine_line
from lorarar.benchmark.speed.once import METHODS
from lorarar.benchmark.speed.synthetic import attention_shapes, synthetic_lora
from lorarar.formats import save
from lorarar.hypernetwork import new_merger, save_merger

# Both deltas and the merged one, float32, and a fifth of the memory left for everything else.
_DENSE_BYTES = 3 * 4 / 0.8


def run_merge_benchmark(
    family: str = "sdxl", rank: int = 64, *, folder: Path, devices: Sequence[str] = (), repetitions: int = 5
) -> dict[str, Any]:
    """Measure merges of two random fp16 LoRAs of all attention projections of a base model.

    Args:
        family: One of `lorarar.benchmark.speed.synthetic.SIZES`.
        rank: Rank of both LoRAs.
        folder: Folder for the files: both LoRAs, a random network of the paper's kind, the merges.
        devices: "cpu", "cuda"; by default the CPU, and the GPU where there is one.
        repetitions: Repetitions of each measurement.

    Returns:
        Plain data, fit for JSON: the machine, the files, for each device the seconds and the extra bytes of ours
        ("direct", "network") and of the dense formulation ("dense direct", "dense network"), their ratios, the seconds
        for coefficients alone; the seconds and peak bytes of the whole `lorarar merge` process and of the floor. Every
        value is a median; "all" holds the single ones. `merge_table` makes a table of it.

    Raises:
        ValueError: The family is unknown.
    """
    files = _write_files(family, rank, folder)
    chosen = devices or ("cpu", "cuda")[: 1 + torch.cuda.is_available()]
    return {
        "family": family,
        "rank": rank,
        "layers": len(attention_shapes(family)),
        "delta_numbers": _numbers(family),
        "file_bytes": files["content"].stat().st_size,
        "repetitions": repetitions,
        "machine": describe_machine(),
        "devices": {device: _on_device(device, family, files, repetitions) for device in chosen},
        "process": _whole_process(files, repetitions),
    }


def merge_table(results: Mapping[str, Any]) -> str:
    """Return the results as tables for people."""
    lines = [
        f"Two {results['family']} LoRAs of rank {results['rank']}, {results['layers']} layers, fp16, "
        f"{results['file_bytes'] / 1e6:.1f} MB each; medians of {results['repetitions']}, taking turns.",
        machine_line(results["machine"]),
        "",
        "| from loaded to merged tensors | ms | extra memory, MB | dense: ms | dense: MB | times faster | times less |",
        "|---|---|---|---|---|---|---|",
    ]
    for device, result in results["devices"].items():
        part = "" if result["every"] == 1 else f", every {result['every']}th layer"
        for method, ratio in result["ratios"].items():
            ours, dense = result[method], result[f"dense {method}"]
            lines.append(
                f"| {method}, {device}{part} | {ours['seconds'] * 1e3:.1f} | {ours['extra_bytes'] / 1e6:.0f} | "
                f"{dense['seconds'] * 1e3:.0f} | {dense['extra_bytes'] / 1e6:.0f} | {ratio['seconds']:.1f} | "
                f"{ratio['extra_bytes']:.1f} |"
            )
    for device, result in results["devices"].items():
        seconds = result["network"]["coefficient_seconds"]
        lines.append(f"\nThe network's coefficients alone, {device}: {seconds * 1e3:.1f} ms.")
    lines += ["", "| whole process | s | peak memory, MB | times the floor |", "|---|---|---|---|"]
    for name, result in results["process"].items():
        lines.append(
            f"| {name} | {result['seconds']:.2f} | {result['peak_bytes'] / 1e6:.0f} | {result['times_the_floor']:.2f} |"
        )
    return "\n".join(lines)


def _write_files(family: str, rank: int, folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{name}.safetensors" for name in ("content", "style", "network", "merged")}
    for seed, name in enumerate(("content", "style")):
        lora = synthetic_lora(family, rank, seed)
        save(lora, files[name], force=True)
    torch.manual_seed(0)
    save_merger(new_merger("paper", lora, {}), files["network"], force=True)
    return files


def _numbers(family: str) -> int:
    return sum(out * width for out, width in attention_shapes(family).values())


def _on_device(device: str, family: str, files: Mapping[str, Path], repetitions: int) -> dict[str, Any]:
    free = available_bytes() if device == "cpu" else torch.cuda.mem_get_info(device)[0]
    # Where the dense deltas of all layers do not fit, all kinds get the same share of the layers.
    every = max(1, -int(-_numbers(family) * _DENSE_BYTES // free))
    runs: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for _ in range(repetitions):
        for method, values in runs.items():
            values.append(_once(files, method, device, every))
    medians = {method: _medians(values) for method, values in runs.items()}
    ratios = {
        method: {
            key: medians[f"dense {method}"][key] / max(medians[method][key], 1e-9) for key in ("seconds", "extra_bytes")
        }
        for method in ("direct", "network")
    }
    return {"every": every, **medians, "ratios": ratios, "all": runs}


def _once(files: Mapping[str, Path], method: str, device: str, every: int) -> dict[str, float]:
    command = [sys.executable, "-m", "lorarar.benchmark.speed.once", str(files["content"]), str(files["style"])]
    command += ["--method", method, "--network", str(files["network"]), "--device", device, "--every", str(every)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _whole_process(files: Mapping[str, Path], repetitions: int) -> dict[str, Any]:
    """Measure the commands of a user against the floor."""
    inputs, output = [str(files["content"]), str(files["style"])], str(files["merged"])
    # Without reading the file again, which the floor does not do either.
    merge = [sys.executable, "-m", "lorarar.cli", "merge", *inputs, "-o", output, "--force", "--no-verify"]
    commands = {
        "floor": [sys.executable, str(floor.__file__), *inputs, output],
        "lorarar merge --merger direct": [*merge, "--merger", "direct"],
        "lorarar merge --network": [*merge, "--network", str(files["network"])],
    }
    for command in commands.values():  # fills the file cache, compiles bytecode
        run_launched(command)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(repetitions):
        for name, command in commands.items():
            runs[name].append(run_launched(command))
    medians = {name: _medians(values) for name, values in runs.items()}
    least = medians["floor"]["seconds"]
    return {
        name: {**values, "times_the_floor": values["seconds"] / least, "all": runs[name]}
        for name, values in medians.items()
    }


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: median(run[key] for run in runs) for key in runs[0]}
