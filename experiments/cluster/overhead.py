"""Overhead of the engine: units that do nothing, on Ray beside this process; the start of a cluster and of a worker.

.venv/bin/python experiments/cluster/overhead.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lorarar.storage import EMBEDDED, write_json
from lorarar.storage.units import Engine, UnitWork, Workers, run_units

HERE = Path(__file__).parent


def open_nothing(seconds: float) -> Callable[[int], None]:
    def wait(number: int) -> None:
        time.sleep(seconds)

    return wait


def open_base() -> Callable[[int], None]:
    """What a worker of the zoo opens."""
    from lorarar.diffusion import load_backbone

    load_backbone(EMBEDDED / "base", device="cpu")
    return open_nothing(0)


def timed(work: UnitWork[int], engine: Engine, units: int, workers: int) -> list[float]:
    """Return when each result came, seconds after the call."""
    start = time.perf_counter()
    results = run_units(work, {str(n): n for n in range(units)}, engine=engine, workers=Workers(count=workers))
    return [time.perf_counter() - start for _ in results]


def main(units: int, output: Path) -> None:
    nothing = UnitWork("wait", "units", partial(open_nothing, 0.0))
    local = timed(nothing, "local", units, 1)
    by_workers = {}
    for workers in (1, 2, 4):
        times = timed(nothing, "ray", units, workers)
        # From the middle half: neither the start nor the end.
        middle = times[units // 4], times[3 * units // 4]
        by_workers[workers] = {"first": times[0], "each": (middle[1] - middle[0]) / (units / 2)}
    base = UnitWork("open", "units", open_base)
    opened = timed(base, "ray", 1, 1)[0]
    result = {
        "units": units,
        "local_seconds_each": local[-1] / units,
        "ray": by_workers,
        "cluster_start_seconds": statistics.median(entry["first"] for entry in by_workers.values()),
        "worker_open_seconds": opened - statistics.median(entry["first"] for entry in by_workers.values()),
    }
    print(result)
    write_json(output, result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=HERE / "overhead.json")
    chosen = parser.parse_args()
    main(chosen.units, chosen.output)
