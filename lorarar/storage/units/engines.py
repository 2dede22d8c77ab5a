"""Engines: units in this process, on Ray or under SLURM, with progress, and failures as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any, TypeVar

from lorarar.storage.progress_bar import Stage, progress, say
from lorarar.storage.units.work import Engine, UnitResult, UnitWork, Workers, attempt

T = TypeVar("T")


def run_units(
    work: UnitWork[T],
    units: Mapping[str, T],
    *,
    engine: Engine = "local",
    workers: Workers | None = None,
    done: int = 0,
) -> Iterator[UnitResult]:
    """Compute units and yield the result of each as it is there; a unit that fails does not stop the others.

    The files that units write are the same with every engine. The order of the results is not.

    Args:
        work: What the units share.
        units: Name -> what the unit's function takes. Those that are finished are left out by the caller.
        engine: "local" computes one after another in this process.
        workers: The workers of the other engines.
        done: Number of units that were finished before, for the progress bar.

    Raises:
        MissingPackage: The engine's package is not installed.
        ValueError: The cluster lacks what a worker needs.
        Exception: A unit raised an error that is none of `lorarar.storage.units.work.FAILURES`.
    """
    if not units:
        return
    total = len(units) + done
    # Beside a single unit, its own stages are shown.
    with progress(work.stage, total, work.unit) if total > 1 else nullcontext(Stage(work.stage)) as advance:
        advance(done)
        failed = 0
        for result in _results(work, units, engine, workers or Workers()):
            failed += result.error is not None
            if result.error is not None and engine != "local":
                say(f"{result.key} failed: {result.error}")
            advance(1, note=f"{failed} failed" if failed else None)
            yield result


def _results(work: UnitWork[Any], units: Mapping[str, Any], engine: Engine, workers: Workers) -> Iterator[UnitResult]:
    if engine == "ray":
        from lorarar.storage.units.ray_engine import run_on_ray

        yield from run_on_ray(work, units, workers)
    elif engine == "slurm":
        from lorarar.storage.units.slurm_engine import run_as_array

        yield from run_as_array(work, units, workers)
    else:
        compute = work.open()
        for key, unit in units.items():
            yield attempt(compute, key, unit)
