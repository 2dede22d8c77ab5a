"""Cost of the verification after a merge: the same command with and without it, in turn, on a pair of SDXL's size.

python experiments/verify/measure.py [--repetitions 7]

Each round runs every command once, in an order drawn anew. Results are ratios within a round, of wall-clock time and of
CPU time, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lorarar.benchmark.speed import synthetic_lora
from lorarar.formats import save

HERE = Path(__file__).parent
ENTRY = "from lorarar.cli.main import entry; entry()"
RANK, SEED = 64, 0
METHODS = ("direct", "auto")


def used() -> float:
    """Return the CPU seconds of all finished children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(folder: Path, words: list[str]) -> tuple[float, float]:
    """Merge in a process of its own; return wall-clock and CPU seconds."""
    command = [sys.executable, "-c", ENTRY, "merge", "a.safetensors", "b.safetensors", "-o", "out.safetensors"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1", "LORARAR_PROGRESS": "off"}
    start, before = time.perf_counter(), used()
    subprocess.run([*command, "--force", *words], cwd=folder, env=environment, capture_output=True, check=True)
    return time.perf_counter() - start, used() - before


def summary(ratios: list[float], resamples: int = 10_000) -> dict[str, float]:
    """Return the median with its 95 % bootstrap interval over rounds."""
    drawn = random.Random(SEED)
    medians = sorted(statistics.median(drawn.choices(ratios, k=len(ratios))) for _ in range(resamples))
    low, high = medians[int(0.025 * resamples)], medians[int(0.975 * resamples) - 1]
    return {"median": statistics.median(ratios), "low": low, "high": high}


def measure(repetitions: int) -> dict[str, Any]:
    """Return the ratios, and the seconds of each run that they come from."""
    drawn, rounds = random.Random(SEED), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, file in enumerate(("a", "b")):
            save(synthetic_lora("sdxl", RANK, seed), folder / f"{file}.safetensors")
        size = (folder / "a.safetensors").stat().st_size
        order = [(method, verified) for method in METHODS for verified in (True, False)]
        for number in range(repetitions + 1):
            drawn.shuffle(order)
            taken = {}
            for method, verified in order:
                words = ["--merger", method, *([] if verified else ["--no-verify"])]
                taken[f"{method}, {'verified' if verified else 'not verified'}"] = run(folder, words)
            rounds += [taken] if number else []  # the first round fills the caches
            print(number, taken, flush=True)
    found: dict[str, Any] = {}
    for method in METHODS:
        for place, kind in enumerate(("wall-clock time", "CPU time")):
            ratios = [each[f"{method}, verified"][place] / each[f"{method}, not verified"][place] for each in rounds]
            found[f"{method}: {kind}"] = summary(ratios)
    return {
        "date": date.today().isoformat(),
        "repetitions": repetitions,
        "bytes_of_a_file": size,
        "rank": RANK,
        "torch": version("torch"),
        "python": platform.python_version(),
        "ratios": found,
        "seconds_wall_and_cpu": rounds,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=7)
    results = measure(parser.parse_args().repetitions)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
