"""Work: what the units of a piece of work share, the settings of its workers, and the result of one unit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from lorarar.storage.plugins import load_plugin, loaded_plugins
from lorarar.storage.setting_types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

Engine = Literal["local", "ray", "slurm"]
T = TypeVar("T")

# What may be wrong with one unit, and does not stop the others. Any other error is a fault of the program, and raised.
FAILURES = (ValueError, OSError, ArithmeticError)


@dataclass(frozen=True)
class Workers:
    """The workers of the engines ray and slurm.

    Attributes:
        count: Largest number of units at a time, one a worker.
        address: Ray cluster, such as auto or HOST:6379, "" for processes on this machine. For slurm, "local" runs the
            array's tasks as processes on this machine.
        cpus: CPU cores of a worker.
        gpus: GPUs of a worker; a fraction shares one GPU among workers.
        retries: How often a unit is started again after its worker died.
        logs: Folder of the array's logs, which all nodes see (slurm).
        options: Further parameters of submitit's executor, such as timeout_min or slurm_partition (slurm).
    """

    count: PositiveInt = 2
    address: str = ""
    cpus: PositiveFloat = 1.0
    gpus: NonNegativeFloat = 0.0
    retries: NonNegativeInt = 3
    logs: Path = Path("runs/slurm")
    options: dict[str, Any] = field(default_factory=dict)


WORKERS = Workers()


@dataclass(frozen=True)
class UnitWork(Generic[T]):
    """Work of many units. Each is idempotent: it writes its result whole, and returns at once if that is there.

    Attributes:
        stage: Name of the work beside the progress bar.
        unit: A unit in the plural, such as "pairs".
        open: Function that loads what the units share, once for each worker, and returns the function that computes one
            unit. For an engine other than "local" it must be picklable.
    """

    stage: str
    unit: str
    open: Callable[[], Callable[[T], Any]]


@dataclass(frozen=True)
class UnitResult:
    """The result of one unit.

    Attributes:
        key: Name of the unit.
        value: What its function returned.
        seconds: How long it took.
        error: Why it failed; None if it did not.
    """

    key: str
    value: Any = None
    seconds: float = 0.0
    error: Exception | None = None


@dataclass(frozen=True)
class WorkerStart:
    """How a worker in another process starts: in the same folder, with the same plugins.

    Attributes:
        open: As `UnitWork` has it.
        folder: Working folder.
        plugins: Files of the plugins that were loaded by path.
    """

    open: Callable[[], Callable[[Any], Any]]
    folder: str
    plugins: tuple[Path, ...]

    @classmethod
    def here(cls, work: UnitWork[Any]) -> WorkerStart:
        """Return the start of a worker that sees what this process sees."""
        plugins = tuple(plugin.path for plugin in loaded_plugins(installed=False) if plugin.path.is_file())
        return cls(work.open, os.getcwd(), plugins)

    def __call__(self) -> Callable[[Any], Any]:
        """Open the work in this process."""
        os.chdir(self.folder)
        os.environ["LORARAR_PROGRESS"] = "off"  # the driver shows the progress of all
        for path in self.plugins:
            load_plugin(path)
        return self.open()


def attempt(compute: Callable[[Any], Any], key: str, unit: Any) -> UnitResult:
    """Compute a unit, or return why it failed.

    Raises:
        Exception: An error that is none of `FAILURES`.
    """
    start = time.perf_counter()
    try:
        value = compute(unit)
    except FAILURES as error:
        return UnitResult(key, None, time.perf_counter() - start, error)
    return UnitResult(key, value, time.perf_counter() - start)
