"""Machine: hardware and versions of a measurement; clocks and memory of a piece of work."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch

_Result = TypeVar("_Result")


def describe_machine() -> dict[str, str | int | None]:
    """Return platform, processor, cores, threads, memory and versions, on which every time depends."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": available_bytes(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def machine_line(machine: Mapping[str, str | int | None]) -> str:
    """Return the facts of `describe_machine` as a line of text."""
    return (
        f"{machine['processor']}, cores: {machine['cores']}, threads: {machine['threads']}, {machine['platform']}, "
        f"Python {machine['python']}, torch {machine['torch']}, GPU: {machine['gpu'] or 'none'}."
    )


def available_bytes() -> int:
    """Return the memory that a new process can have now, in bytes."""
    entries = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(entries["MemAvailable"].split()[0]) * 1024


def timed(work: Callable[[], _Result], device: str) -> tuple[float, _Result]:
    """Return the seconds until the work is done, on an accelerator too, and its result."""
    _wait(device)
    start = time.perf_counter()
    result = work()
    _wait(device)
    return time.perf_counter() - start, result


def held_bytes(device: str) -> int:
    """Return the bytes that this process holds now, and let `peak_bytes` count from here."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak_bytes(device: str) -> int:
    """Return the most bytes that this process has held since `held_bytes`.

    They are of the process's own memory. The peak of `getrusage` starts from that of the parent process.
    """
    return torch.cuda.max_memory_allocated(device) if device != "cpu" else _status("VmHWM")


def _status(name: str) -> int:
    entries = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(entries[name].split()[0]) * 1024


def _wait(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize(device)


def _processor() -> str:
    names = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return names[0].strip() if names else platform.machine()
