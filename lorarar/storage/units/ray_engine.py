"""Ray: units on the workers of a cluster, or on several processes of this machine.

The driver keeps no state but the queue: what is finished lies on the disk. A worker that dies loses its unit, which is
started again; where the driver or the head dies, the same command goes on from the files.
"""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from lorarar.storage.libraries import MissingPackage
from lorarar.storage.progress_bar import Stage, progress, say
from lorarar.storage.units.work import UnitResult, UnitWork, Workers, WorkerStart, attempt

_STORE_BYTES = 80 << 20  # results are small: the least that Ray accepts


class UnitWorker:
    """A worker: it opens the work once, then computes unit after unit."""

    def __init__(self) -> None:
        self._compute: Callable[[Any], Any] | None = None

    def open(self, start: WorkerStart) -> None:
        """Open the work."""
        self._compute = start()

    def compute(self, key: str, unit: Any) -> UnitResult:
        """Compute one unit; the work is open."""
        assert self._compute is not None
        return attempt(self._compute, key, unit)


def run_on_ray(work: UnitWork[Any], units: Mapping[str, Any], workers: Workers) -> Iterator[UnitResult]:
    """Compute units on Ray and yield each result, see `lorarar.storage.units.run_units`.

    Raises:
        MissingPackage: Ray is not installed.
        ValueError: The cluster has no GPU, and a worker needs one.
    """
    ray = _import_ray(workers)
    with _cluster(ray, workers), ExitStack() as table:
        count = min(workers.count, len(units))
        actor = ray.remote(UnitWorker).options(num_cpus=workers.cpus, num_gpus=workers.gpus)
        rows = [table.enter_context(progress(f"worker {number}", None, work.unit)) for number in range(count)]
        yield from _Driver(ray, actor, WorkerStart.here(work), rows, units, workers.retries).results()


class _Driver:
    """The queue of units, and what each worker does now."""

    def __init__(
        self, ray: Any, actor: Any, start: WorkerStart, rows: list[Stage], units: Mapping[str, Any], retries: int
    ) -> None:
        self._ray, self._actor, self._start, self._rows = ray, actor, start, rows
        self._units, self._retries = units, retries
        self._pool: dict[int, Any] = {}
        self._waiting = deque(units)
        self._deaths: Counter[str] = Counter()
        self._running: dict[Any, tuple[int, str]] = {}  # reference -> worker, unit; "" while it opens the work

    def results(self) -> Iterator[UnitResult]:
        """Yield the result of each unit."""
        left = len(self._units)
        for number in range(len(self._rows)):
            self._open(number)
        while left:
            [reference], _ = self._ray.wait(list(self._running))
            number, key = self._running.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                result = self._died(key, error)
                self._open(number)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error
            else:
                result = answer if key else None
                self._rows[number](bool(key))
                self._assign(number)
            if result is not None:
                left -= 1
                yield result

    def _open(self, number: int) -> None:
        """Start a worker; it takes no unit before it is open, for it may wait for a place in the cluster."""
        self._rows[number](0, note="starts")
        self._pool[number] = self._actor.remote()
        self._running[self._pool[number].open.remote(self._start)] = (number, "")

    def _assign(self, number: int) -> None:
        """Give the next unit to a worker."""
        if not self._waiting:
            self._rows[number](0, note="")
            return
        key = self._waiting.popleft()
        self._rows[number](0, note=key)
        self._running[self._pool[number].compute.remote(key, self._units[key])] = (number, key)

    def _died(self, key: str, error: Exception) -> UnitResult | None:
        """Queue the unit of a worker that died again, or return it as failed.

        Raises:
            RuntimeError: The workers die while they open the work.
        """
        self._deaths[key] += 1
        died = self._deaths[key]
        if died <= self._retries or (not key and died <= self._retries * len(self._rows)):
            if key:
                say(f"{key}: its worker died, attempt {died + 1} of {self._retries + 1}")
                self._waiting.appendleft(key)
            return None
        reason = f"expected a worker that lives, found {died} that died, the last: {str(error).splitlines()[0]}"
        if not key:
            raise RuntimeError(f"{reason}: see the logs of Ray, or give a worker more memory")
        return UnitResult(key, error=OSError(f"{reason}: look for what is special about this unit, such as its size"))


def _import_ray(workers: Workers) -> Any:
    """Return the module ray. What it reads at import is set: no report of usage, a cluster for this machine alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not workers.address:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # on Linux too: loopback addresses alone
    try:
        import ray
    except ImportError as error:
        raise MissingPackage("ray", "cluster", 'engine="ray"') from error
    return ray


@contextmanager
def _cluster(ray: Any, workers: Workers) -> Iterator[None]:
    """Connect to the cluster, or start one on this machine until the context closes."""
    started = not ray.is_initialized()
    if started:
        own: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
        if workers.address:
            own["address"] = workers.address
        else:
            own |= {"num_cpus": math.ceil(workers.count * workers.cpus), "object_store_memory": _STORE_BYTES}
            own["include_dashboard"] = False
        ray.init(**own)
    try:
        if workers.gpus and not ray.cluster_resources().get("GPU"):
            raise ValueError("expected GPUs in the cluster for `workers.gpus`, found none: set workers.gpus=0")
        yield
    finally:
        if started:
            ray.shutdown()
