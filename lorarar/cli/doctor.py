"""Doctor command: what works here, and what is missing for what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from lorarar.cli.commands import command
from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.options import SET_UP, Json

if TYPE_CHECKING:
    from lorarar.workflows.doctor import Diagnosis

Rows = list[tuple[str, str]]


def add(app: typer.Typer) -> None:
    """Add `doctor`."""
    command(app, "doctor", section=SET_UP)(_doctor)


def _doctor(json_: Json = False) -> ExitCode:
    """Show what works here: Python, torch, devices, packages, shipped parts, and what is missing for what.

    The exit code is 0 if a merge by the shipped network works, else 1. Nothing is downloaded.
    """
    from lorarar.workflows.doctor import diagnose

    diagnosis = diagnose()
    if json_:
        print(json.dumps(diagnosis.to_dict(), indent=1))
    else:
        _print(diagnosis)
    return ExitCode.SUCCESS if diagnosis.merges else ExitCode.FAILED


def _print(diagnosis: Diagnosis) -> None:
    from rich.text import Text

    from lorarar.cli.help import print_page, section

    pages = [section(title, [(Text(name), Text(text)) for name, text in rows]) for title, rows in _sections(diagnosis)]
    verdict = "works" if diagnosis.merges else "does not work: see above"
    print_page([*pages, Text(f"\nMerging by the shipped network {verdict}.", style="bold")])


def _sections(diagnosis: Diagnosis) -> Iterator[tuple[str, Rows]]:
    yield "Installation", _installation(diagnosis)
    yield "Machine", _machine(diagnosis)
    yield "Packages", [(library.name, _versions(library.version, library.minimum)) for library in diagnosis.libraries]
    yield "Extras", [(extra.name, f"{_lack(extra.missing)}: {extra.purpose}") for extra in diagnosis.extras]
    yield (
        "Network and cache",
        [
            *(diagnosis.switches.items() or [("variables", "none set: models are downloaded when they are named")]),
            ("hub cache", f"{diagnosis.cache}, {_size(diagnosis.cache_size)}"),
            ("wandb", diagnosis.wandb),
        ],
    )
    yield "Shipped parts", [(part.name, part.problem or "as its card says") for part in diagnosis.parts]
    problems = [(problem.found, f"for {problem.purpose}: {problem.remedy}") for problem in diagnosis.problems]
    yield "What is missing", problems or [("nothing", "")]


def _installation(diagnosis: Diagnosis) -> Rows:
    torch = diagnosis.torch
    return [
        ("lorarar", f"{diagnosis.version}, {diagnosis.location} ({diagnosis.installation})"),
        ("Python", f"{diagnosis.machine.python}, {diagnosis.machine.executable}"),
        ("torch", torch.error or f"{torch.version}, build for {torch.build}"),
        ("devices", "; ".join(torch.devices) or "none: torch cannot be imported"),
    ]


def _machine(diagnosis: Diagnosis) -> Rows:
    machine = diagnosis.machine
    return [
        ("system", machine.system),
        ("cores", f"{machine.cores}, torch uses {diagnosis.torch.threads} threads"),
        ("memory", f"{_size(machine.memory)}, {_size(machine.memory_free)} free"),
        ("disk", f"{_size(machine.disk_free)} free in {machine.folder}"),
        ("terminal", machine.terminal),
    ]


def _versions(version: str, minimum: str) -> str:
    least = f", at least {minimum}" if minimum else ""
    return f"{version or 'not installed'}{least}"


def _lack(missing: tuple[str, ...]) -> str:
    return f"lacks {', '.join(missing)}" if missing else "installed"


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"
