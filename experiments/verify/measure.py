"""Cost of the verification after a merge: the same merge with and without it, in turn, on a pair of SDXL's size.

python experiments/verify/measure.py [--repetitions 4]

Each round merges once by each method with and once without verification, in an order drawn anew, all in one process
with one thread. Results are ratios within a round, of wall-clock time and of CPU time, which other work on the machine
changes less.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lorarar.benchmark.speed import synthetic_lora
from lorarar.formats import save
from lorarar.mergers import FileMerge, MergeRequest, merge_files

HERE = Path(__file__).parent
RANK, SEED = 64, 0
METHODS = ("direct", "auto")


def run(folder: Path, method: str, verify: bool) -> tuple[float, float]:
    """Merge from files to a file; return wall-clock and CPU seconds."""
    files = [folder / "a.safetensors", folder / "b.safetensors"]
    job = FileMerge(files, folder / "out.safetensors", MergeRequest(method), force=True, verify=verify)
    start, before = time.perf_counter(), time.process_time()
    merge_files(job)
    return time.perf_counter() - start, time.process_time() - before


def summary(ratios: list[float]) -> dict[str, float]:
    """Return the median, and the smallest and the largest ratio: there are too few rounds for an interval."""
    return {"median": statistics.median(ratios), "smallest": min(ratios), "largest": max(ratios)}


def measure(repetitions: int) -> dict[str, Any]:
    """Return the ratios, and the seconds of each merge that they come from."""
    torch.set_num_threads(1)
    drawn, rounds = random.Random(SEED), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, file in enumerate(("a", "b")):
            save(synthetic_lora("sdxl", RANK, seed), folder / f"{file}.safetensors")
        size = (folder / "a.safetensors").stat().st_size
        order = [(method, verify) for method in METHODS for verify in (True, False)]
        run(folder, "direct", verify=True)  # fills the caches
        for _ in range(repetitions):
            drawn.shuffle(order)
            taken = {(method, verify): run(folder, method, verify) for method, verify in order}
            rounds.append({f"{method}, {'' if verify else 'not '}verified": taken[method, verify]
                           for method, verify in sorted(taken)})  # fmt: skip
            print(rounds[-1], flush=True)
    found = {}
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
    parser.add_argument("--repetitions", type=int, default=4)
    results = measure(parser.parse_args().repetitions)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results["ratios"], indent=1))
