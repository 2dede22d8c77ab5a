"""SLURM: units as the tasks of an array, by submitit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lorarar.storage.libraries import MissingPackage
from lorarar.storage.progress_bar import say
from lorarar.storage.units.work import UnitResult, UnitWork, Workers, WorkerStart, attempt

_Part = Sequence[tuple[str, Any]]


def run_as_array(work: UnitWork[Any], units: Mapping[str, Any], workers: Workers) -> Iterator[UnitResult]:
    """Compute units as the tasks of one array, each with its share of them; yield results as tasks end.

    A task that dies is submitted again with the same units, of which it skips those that are finished.

    Raises:
        MissingPackage: submitit is not installed.
    """
    try:
        import submitit
    except ImportError as error:
        raise MissingPackage("submitit", "cluster", 'engine="slurm"') from error
    executor = submitit.AutoExecutor(folder=workers.logs, cluster=workers.address or "slurm")
    resources = {"cpus_per_task": math.ceil(workers.cpus), "gpus_per_node": math.ceil(workers.gpus)}
    executor.update_parameters(name="lorarar", slurm_array_parallelism=workers.count, **resources, **workers.options)
    start, entries = WorkerStart.here(work), list(units.items())
    parts = [entries[number :: workers.count] for number in range(min(workers.count, len(entries)))]
    for round_ in range(workers.retries + 1):
        jobs = executor.map_array(compute_part, [start] * len(parts), parts)
        tasks = {job.job_id: part for job, part in zip(jobs, parts, strict=True)}
        parts = []
        for job in submitit.helpers.as_completed(jobs):
            fault = job.exception()
            if fault is None:
                yield from job.result()
            elif not isinstance(fault, submitit.core.utils.UncompletedJobError):
                raise fault
            elif round_ < workers.retries:
                say(f"task {job.job_id} died, attempt {round_ + 2} of {workers.retries + 1}")
                parts.append(tasks[job.job_id])
            else:
                failure = OSError(f"expected a task that ends, found one that died: see {workers.logs}/{job.job_id}_*")
                yield from (UnitResult(key, error=failure) for key, _ in tasks[job.job_id])
        if not parts:
            return


def compute_part(start: WorkerStart, part: _Part) -> list[UnitResult]:
    """Compute the units of one task."""
    compute = start()
    return [attempt(compute, key, unit) for key, unit in part]
