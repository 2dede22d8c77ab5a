"""Machine: Python, torch, devices, memory, disk and terminal."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Torch:
    """torch as it is installed.

    Attributes:
        version: Its version; "" if it cannot be imported.
        build: "CUDA 12.8", "ROCm 6.2" or "CPU".
        threads: Threads of a computation on the CPU.
        devices: Name of each device, with its memory, in the order in which "auto" takes them.
        error: Why it cannot be imported; "" if it can.
    """

    version: str = ""
    build: str = ""
    threads: int = 0
    devices: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Machine:
    """The computer and its Python; sizes are in bytes, None where the system does not tell.

    Attributes:
        system: Operating system and architecture.
        python: Version of Python.
        executable: The interpreter.
        cores: Cores that this process may use.
        memory: Main memory.
        memory_free: Main memory that is free.
        folder: The current folder.
        disk_free: Free space there.
        terminal: What output goes to.
    """

    system: str
    python: str
    executable: str
    cores: int
    memory: int | None
    memory_free: int | None
    folder: str
    disk_free: int
    terminal: str


def find_machine() -> Machine:
    """Return the facts about this computer."""
    total, free = _memory()
    return Machine(
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        python=platform.python_version(),
        executable=sys.executable,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=total,
        memory_free=free,
        folder=str(Path.cwd()),
        disk_free=shutil.disk_usage(Path.cwd()).free,
        terminal=_terminal(),
    )


def find_torch() -> Torch:
    """Return the facts about torch. Whatever its import raises becomes `error`."""
    try:
        import torch

        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
        if getattr(torch.version, "hip", None):
            build = f"ROCm {torch.version.hip}"
        return Torch(torch.__version__, build, torch.get_num_threads(), tuple(_devices()))
    except Exception as error:  # a broken installation raises anything: ImportError, OSError, AttributeError
        return Torch(error=f"{type(error).__name__}: {error}".splitlines()[0])


def _devices() -> list[str]:
    import torch

    from lorarar.lora import available_devices

    names = []
    for device in available_devices():
        if device != "cuda":
            names.append(device)
            continue
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            names.append(f"cuda:{index}: {name}, {total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free")
    return names


def _memory() -> tuple[int | None, int | None]:
    """Return total and free main memory in bytes."""
    facts = Path("/proc/meminfo")
    if facts.is_file():
        lines = dict(line.split(":", 1) for line in facts.read_text(encoding="utf-8").splitlines() if ":" in line)
        sizes = [lines.get(key, "").split() for key in ("MemTotal", "MemAvailable")]
        total, free = (int(size[0]) * 1024 if size else None for size in sizes)
        return total, free
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    return None, None


def _terminal() -> str:
    if not sys.stdout.isatty():
        return "none: plain text, no bars"
    colours = "no colours" if "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" else "colours"
    return f"{shutil.get_terminal_size().columns} columns, {colours}, {sys.stdout.encoding}"
