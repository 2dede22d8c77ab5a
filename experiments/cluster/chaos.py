"""Chaos: a zoo and a benchmark on local Ray workers that are killed at random, beside the same runs without Ray.

Each kill comes when a random number of units is done. It takes one worker or, in a third of the kills, the head: the
driver and Ray's own processes with all workers, after which the same command is started again.

    .venv/bin/python experiments/cluster/chaos.py runs/cluster --loras 60 --cells 128 --group 5 --kills 3
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prepare import prepare, shape

from lorarar.storage import sha256, write_json

LORARAR = [sys.executable, "-m", "lorarar.cli"]
# CPU seconds on one x86_64 core: a LoRA, a cell, and what a kill costs, Ray's processes and two workers.
LORA_SECONDS, CELL_SECONDS, START_SECONDS = 0.3, 0.03, 30
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def children(pid: int) -> dict[int, str]:
    """Process id -> command line, of all processes below one."""
    parents, commands = {}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path("/proc", entry, "stat").read_text()
            commands[int(entry)] = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {child: commands[child] for child in below - {pid}}


def written(folder: Path, pattern: str) -> dict[str, int]:
    """File -> time of its last change, nanoseconds."""
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.glob(pattern)}


def run_killed(
    command: list[str], folder: Path, pattern: str, total: int, kills: int, seed: int, log: Path
) -> dict[str, Any]:
    """Run a command until it succeeds, killing its processes.

    Args:
        command: The command.
        folder: Where its units' files appear.
        pattern: Names of these files.
        total: Number of these files.
        kills: Number of kills.
        seed: Of the times and victims.
        log: File for the command's output.

    Raises:
        RuntimeError: The command fails although nothing was killed.
    """
    draw = random.Random(seed)
    present = len(written(folder, pattern))
    moments = sorted(draw.uniform(present, 0.98 * total) for _ in range(kills))
    heads = set(draw.sample(range(kills), -(-kills // 3)))
    first: dict[str, int] = {}
    again: set[str] = set()
    events, starts, begun = [], 1, time.monotonic()
    with open(log, "ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        while process.poll() is None or process.returncode:
            if process.poll() is not None:
                starts += 1
                if starts > kills + 2:
                    raise RuntimeError(f"expected a command that fails only when it is killed: see {log}")
                process = subprocess.Popen(command, stdout=output, stderr=output)
            time.sleep(1)
            for name, changed in written(folder, pattern).items():
                if first.setdefault(name, changed) != changed:
                    again.add(name)
                    first[name] = changed
            if not moments or len(first) < moments[0]:
                continue
            below = children(process.pid)
            workers = [pid for pid, words in below.items() if "ray::UnitWorker" in words]
            if not workers:
                continue
            moments.pop(0)
            head = len(events) in heads
            for pid in [process.pid, *below] if head else [draw.choice(workers)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            events.append({"killed": "head" if head else "worker", "done": len(first)})
            print(events[-1], flush=True)
            if head:
                process.wait()
    return {
        "kills": events,
        "starts": starts,
        "written_twice": sorted(again),
        "seconds": round(time.monotonic() - begun, 1),
    }


def hashes(folder: Path, pattern: str) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.glob(pattern))}


def compare(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, int]:
    return {
        "files": len(first),
        "missing": len(first.keys() - second.keys()),
        "surplus": len(second.keys() - first.keys()),
        "different": sum(first[name] != second[name] for name in first.keys() & second.keys()),
    }


def run(options: argparse.Namespace) -> None:
    folder: Path = options.folder
    prepare(folder, loras=options.loras, cells=options.cells, group=options.group)
    rows, side = shape(options.cells)
    cells = rows * side * side
    results: dict[str, Any] = {"loras": options.loras, "cells": cells, "workers": options.workers}
    engine = ["engine=ray", f"workers.count={options.workers}"]

    zoo = [*LORARAR, "zoo", str(folder / "zoo.yaml")]
    alone = [f"output={folder / 'alone' / 'loras'}", f"runs={folder / 'alone' / 'zoo'}"]
    (folder / "loras").mkdir(exist_ok=True)
    killed = run_killed(
        [*zoo, *engine], folder / "loras", "*.safetensors", options.loras, options.kills, 0, folder / "zoo.log"
    )
    start = time.monotonic()
    subprocess.run([*zoo, *alone], check=True, **QUIET)
    killed["seconds_local"] = round(time.monotonic() - start, 1)
    local = folder / "alone" / "loras"
    killed["files"] = compare(hashes(local, "*.safetensors"), hashes(folder / "loras", "*.safetensors"))
    results["zoo"] = killed
    write_json(options.output, results)

    quality = [*LORARAR, "benchmark", "quality", str(folder / "quality.yaml")]
    alone = [f"output={folder / 'alone' / 'results'}", f"runs={folder / 'alone' / 'quality'}"]
    (folder / "quality").mkdir(exist_ok=True)
    killed = run_killed(
        [*quality, *engine],
        folder / "quality",
        "cells/*/*.json",
        cells,
        options.kills,
        1,
        folder / "cells.log",
    )
    start = time.monotonic()
    subprocess.run([*quality, *alone], check=True, **QUIET)
    killed["seconds_local"] = round(time.monotonic() - start, 1)
    local = folder / "alone" / "quality"
    killed["files"] = compare(hashes(local, "images/**/*.png"), hashes(folder / "quality", "images/**/*.png"))
    tables = [json.loads((place / "results" / "results.json").read_text()) for place in (folder, folder / "alone")]
    killed["same_results"] = tables[0] == tables[1]
    results["cells"] = killed
    write_json(options.output, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "chaos.json")
    parser.add_argument("--loras", type=int, default=1000)
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--group", type=int, default=10, help="LoRAs in a batch")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--plan", action="store_true")
    chosen = parser.parse_args()
    if chosen.plan:
        rows, side = shape(chosen.cells)
        cells = rows * side * side
        units = -(-chosen.loras // chosen.group), -(-cells // 10)
        # CPU seconds; LoRAs and cells are computed twice, once by Ray and once by a plain run.
        seconds = 2 * chosen.loras * LORA_SECONDS + 2 * cells * CELL_SECONDS + 2 * (chosen.kills + 2) * START_SECONDS
        print(
            f"{chosen.loras} LoRAs in {units[0]} units, {cells} cells in {units[1]} units, {chosen.kills} kills each:"
        )
        print(f"about {seconds / 60:.0f} minutes of CPU time")
    else:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        run(chosen)
