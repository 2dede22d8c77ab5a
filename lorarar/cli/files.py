"""File commands: inspect, convert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

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

File = Annotated[Path, typer.Argument(metavar="FILE", help="LoRA file, or a folder that peft wrote.")]


def add(app: typer.Typer) -> None:
    """Add `inspect` and `convert`."""
    command(app, "inspect", section=MERGE)(_inspect)
    command(app, "convert", section=MERGE)(_convert)


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
