"""File commands: inspect, convert, mergers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorarar.cli.commands import command
from lorarar.cli.options import (
    MERGE,
    BaseWeights,
    Energy,
    FileDtype,
    FileFormat,
    Force,
    Json,
    OutputFile,
    Rank,
    at_most_one,
    option,
)

if TYPE_CHECKING:
    from lorarar.mergers import Merger

File = Annotated[Path, typer.Argument(metavar="FILE", help="LoRA file, or a folder that peft wrote.")]


def add(app: typer.Typer) -> None:
    """Add `inspect`, `convert` and `mergers`."""
    command(app, "inspect", section=MERGE)(_inspect)
    command(app, "convert", section=MERGE)(_convert)
    command(app, "mergers", section=MERGE)(_mergers)


def _inspect(
    file: File,
    compare: Annotated[
        Path | None,
        option("--compare", value="OTHER", text="Second file, to see where the two collide.", default="none"),
    ] = None,
    base: BaseWeights = None,
    json_: Json = False,
) -> None:
    """Show what a LoRA file contains, or where two files collide."""
    from lorarar.formats.inspection import inspect

    report = inspect(file, compare, base)
    print(json.dumps(report.to_dict(), indent=1) if json_ else report.text())


def _convert(
    file: File,
    output: OutputFile,
    format: FileFormat = None,
    dtype: FileDtype = "fp16",
    rank: Rank = None,
    energy: Energy = None,
    base: BaseWeights = None,
    force: Force = False,
) -> None:
    """Rewrite a LoRA file in another format, precision or rank."""
    from lorarar.formats import convert_file

    at_most_one(rank=rank, energy=energy)
    conversion = convert_file(
        file, output, format=format, dtype=dtype, rank=rank, energy=energy, base=base, force=force
    )
    print(conversion.text())


def _mergers(json_: Json = False) -> None:
    """List the methods with their needs, options and citations."""
    from lorarar.mergers import MERGERS, mergers_data

    if json_:
        print(json.dumps(mergers_data(), indent=1))
        return
    from rich.text import Text

    from lorarar.cli.help import Row, print_page, section

    rows: dict[str, list[Row]] = {}
    for merger in MERGERS.values():
        rows.setdefault(merger.kind, []).append((Text(merger.name, style="cyan"), Text(_describe(merger))))
    print_page([section(f"Kind: {kind}", of_kind) for kind, of_kind in rows.items()])


def _describe(merger: Merger) -> str:
    """Return citation, number of LoRAs, needs and options of a method in a line."""
    parts = [merger.citation]
    parts += ["two LoRAs"] if merger.pairs_only else []
    parts += [f"needs {merger.needs}"] if merger.needs else []
    parts += [", ".join(f"{key}={value}" for key, value in merger.options.items())] if merger.options else []
    return " | ".join(parts)
