"""Diagnosis: all facts together, and the problems that follow from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lorarar.storage import lorarar_version, package_path, repository_url
from lorarar.workflows.doctor.machine import Machine, Torch, find_machine, find_torch
from lorarar.workflows.doctor.packages import ESSENTIAL, Extra, Library, find_extras, find_libraries
from lorarar.workflows.doctor.parts import Part, find_parts, find_switches, hub_cache

_LEAST_DISK = 2**30  # bytes; a merged SDXL LoRA takes up to half of it


@dataclass(frozen=True)
class Problem:
    """Something that is missing.

    Attributes:
        found: What is missing or wrong.
        purpose: The work that needs it.
        remedy: What to do.
        essential: Whether a merge by the shipped network needs it.
    """

    found: str
    purpose: str
    remedy: str
    essential: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """What this installation and this machine can do.

    Attributes:
        version: Version of the package.
        location: Folder of the package.
        installation: "repository" for an editable installation or a source tree, else "package".
        machine: The computer.
        torch: torch as it is installed.
        libraries: Libraries that the package needs.
        extras: Extras of the package.
        switches: Variables of the environment that are set; of keys only "set".
        cache: Folder of the models that were downloaded from the hub.
        cache_size: Its size in bytes.
        wandb: Mode of Weights & Biases.
        parts: Shipped artefacts.
        problems: What is missing, the essential first.
    """

    version: str
    location: str
    installation: str
    machine: Machine
    torch: Torch
    libraries: tuple[Library, ...]
    extras: tuple[Extra, ...]
    switches: dict[str, str]
    cache: str
    cache_size: int
    wandb: str
    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]

    @property
    def merges(self) -> bool:
        """Whether a merge by the shipped network works."""
        return not any(problem.essential for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Return all facts as plain data."""
        return asdict(self) | {"merges": self.merges}


def diagnose() -> Diagnosis:
    """Return what works here and what is missing for what. Nothing is downloaded."""
    machine, torch = find_machine(), find_torch()
    libraries, parts = find_libraries(), find_parts(load=not torch.error)
    problems = [*_package_problems(torch, libraries), *_part_problems(parts), *_disk_problems(machine)]
    cache, size = hub_cache()
    return Diagnosis(
        version=lorarar_version(),
        location=str(package_path()),
        installation="repository" if (package_path().parent / "pyproject.toml").is_file() else "package",
        machine=machine,
        torch=torch,
        libraries=tuple(libraries),
        extras=tuple(find_extras()),
        switches=find_switches(),
        cache=str(cache),
        cache_size=size,
        wandb=os.environ.get("WANDB_MODE") or "as the configuration says, offline by default",
        parts=tuple(parts),
        problems=tuple(sorted(problems, key=lambda problem: not problem.essential)),
    )


def _package_problems(torch: Torch, libraries: list[Library]) -> Iterator[Problem]:
    if torch.error:
        yield Problem(
            f"torch cannot be imported ({torch.error})", "everything", "pip install --force-reinstall torch", True
        )
    for library in libraries:
        if library.fits or (library.name == "torch" and torch.error):
            continue
        found = f"{library.name} {library.version}" if library.version else f"no {library.name}"
        wanted = f"{library.name}>={library.minimum}" if library.minimum else library.name
        yield Problem(found, library.purpose, f"pip install '{wanted}'", library.name in ESSENTIAL)


def _part_problems(parts: list[Part]) -> Iterator[Problem]:
    clone = f"git clone {repository_url() or 'the repository'}, and run `make install` there"
    for part in parts:
        if not part.problem:
            continue
        if part.name.startswith("network"):
            yield Problem(f"{part.name}: {part.problem}", "merge by a shipped network", "install lorarar again", True)
        elif part.name.startswith("embedded judge"):
            yield Problem(f"{part.name}: {part.problem}", "judge with the back end tiny", "install lorarar again")
        else:
            purpose = "demo, the shipped configurations named embedded, benchmark gates and quality"
            yield Problem(f"{part.name}: {part.problem}", purpose, clone)


def _disk_problems(machine: Machine) -> Iterator[Problem]:
    if machine.disk_free < _LEAST_DISK:
        free = f"{machine.disk_free / 2**20:.0f} MiB free in {machine.folder}"
        yield Problem(free, "files that are written there", "free some space, or work in another folder")
