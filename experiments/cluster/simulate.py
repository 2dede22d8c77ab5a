"""Simulation of the engine at 8, 64 and 512 workers, from the overheads of overhead.json.

    .venv/bin/python experiments/cluster/simulate.py

A discrete-event model of `lorarar.storage.units.ray_engine`: the driver handles one event at a time, workers open the
work before their first unit, all of them read the base from one disk, and a worker that dies loses its unit.
"""

from __future__ import annotations

import heapq
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorarar.storage import write_json

HERE = Path(__file__).parent
WORKERS = (8, 64, 512)


@dataclass(frozen=True)
class Load:
    """A piece of work on a cluster; times in seconds.

    Attributes:
        units: Number of units.
        seconds: Mean time of a unit; times vary by a tenth.
        dispatch: Time of the driver for each event.
        start: Time to start a process and import.
        read: Time in which the disk serves the base to one worker; it serves one after another.
        lifetime: Mean time until a worker dies; 0 for never.
    """

    units: int
    seconds: float
    dispatch: float
    start: float
    read: float
    lifetime: float = 0.0


def simulate(load: Load, workers: int, seed: int = 0) -> float:
    """Return the time until the last result is there."""
    draw, waiting, done = random.Random(seed), load.units, 0
    driver = disk = 0.0
    events: list[tuple[float, int, str]] = []  # time, worker, what ended: "process", "open", "unit" or "death"

    def started(now: float, worker: int) -> None:
        heapq.heappush(events, (now + load.start, worker, "process"))

    for worker in range(workers):
        driver += load.dispatch
        started(driver, worker)
    while done < load.units:
        now, worker, what = heapq.heappop(events)
        if what == "process":
            disk = max(disk, now) + load.read
            heapq.heappush(events, (disk, worker, "open"))
            continue
        driver = max(driver, now) + load.dispatch
        if what == "death":
            waiting += 1
            started(driver, worker)
            continue
        done += what == "unit"
        if waiting:
            waiting -= 1
            length = max(0.0, draw.gauss(1, 0.1)) * load.seconds
            death = draw.expovariate(1 / load.lifetime) if load.lifetime else float("inf")
            heapq.heappush(events, (driver + min(length, death), worker, "unit" if length <= death else "death"))
    return driver


def efficiency(load: Load, workers: int) -> float:
    return load.units * load.seconds / (workers * simulate(load, workers))


def explain(load: Load, workers: int) -> str:
    """Return the cost without which the efficiency grows most; "none" where less than a hundredth is lost."""
    without = {
        "dispatch": replace(load, dispatch=0.0),
        "start of workers": replace(load, start=0.0),
        "reading of the base": replace(load, read=0.0),
        "deaths": replace(load, lifetime=0.0),
    }
    own = efficiency(load, workers)
    gains = {name: efficiency(other, workers) - own for name, other in without.items()}
    # What no engine can gain: the workers that have no unit in the last round, and the slowest of that round.
    ideal = efficiency(replace(load, dispatch=0.0, start=0.0, read=0.0, lifetime=0.0), workers)
    gains["too few units"] = 1 - ideal
    return max(gains, key=lambda name: gains[name]) if own < 0.99 else "none"


def main() -> None:
    measured = json.loads((HERE / "overhead.json").read_text())
    dispatch = measured["ray"]["4"]["each"]
    start = measured["cluster_start_seconds"]
    loads = {
        "zoo, tiny: 100 units of 2 s": Load(100, 2.0, dispatch, start, 0.1),
        "cells, tiny: 500 units of 0.5 s": Load(500, 0.5, dispatch, start, 0.1),
        "zoo, SDXL: 1,000 units of 1,000 s": Load(1000, 1000.0, dispatch, start, 7.0),
        "zoo, SDXL, spot machines of 6 h": Load(1000, 1000.0, dispatch, start, 7.0, 6 * 3600.0),
        "cells, SDXL: 5,000 units of 60 s": Load(5000, 60.0, dispatch, start, 7.0),
        "merges: 100,000 units of 1 s": Load(100_000, 1.0, dispatch, start, 0.0),
    }
    results: dict[str, Any] = {"dispatch": dispatch, "start": start, "loads": {}}
    for name, load in loads.items():
        rows = {w: {"efficiency": round(efficiency(load, w), 3), "lost_most_by": explain(load, w)} for w in WORKERS}
        results["loads"][name] = rows
        print(name, rows)
    write_json(HERE / "simulation.json", results)


if __name__ == "__main__":
    main()
