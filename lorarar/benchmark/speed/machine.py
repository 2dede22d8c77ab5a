"""What a measurement was taken on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")


def describe_machine() -> dict[str, str | int | None]:
    """Platform, processor, cores, threads and versions: what a time says nothing without."""
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


def describe_in_words(machine: Mapping[str, str | int | None]) -> str:
    """What `describe_machine` found, as a line."""
    return (
        f"{machine['processor']}, cores: {machine['cores']}, threads: {machine['threads']}, {machine['platform']}, "
        f"Python {machine['python']}, torch {machine['torch']}, GPU: {machine['gpu'] or 'none'}."
    )


def available_bytes() -> int:
    """Memory that a new process can have now, bytes."""
    known = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(known["MemAvailable"].split()[0]) * 1024


def timed(work: Callable[[], T], device: str) -> tuple[float, T]:
    """Seconds until the work is done, on an accelerator too, and what it made."""
    _wait(device)
    start = time.perf_counter()
    made = work()
    _wait(device)
    return time.perf_counter() - start, made


def held_bytes(device: str) -> int:
    """Bytes that this process holds now; `peak_bytes` counts from here."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak_bytes(device: str) -> int:
    """Most bytes that this process has held since `held_bytes`.

    Of the process's own memory: what `getrusage` calls the peak starts from that of the process which started it.
    """
    return torch.cuda.max_memory_allocated(device) if device != "cpu" else _status("VmHWM")


def _status(name: str) -> int:
    known = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(known[name].split()[0]) * 1024


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def _processor() -> str:
    names = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return names[0].strip() if names else platform.machine()
