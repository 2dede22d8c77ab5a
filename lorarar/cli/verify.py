"""Verify command: what tools make of a merged file, and whether it holds what its inputs give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lorarar.cli.commands import command
from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.options import (
    MERGE,
    Balance,
    BaseWeights,
    Blocks,
    Json,
    Merger,
    NetworkFile,
    Options,
    TextEncoder,
    Weights,
    at_most_one,
    option,
)
from lorarar.cli.values import choice, settings

_TOOLS = ("ComfyUI", "sd-scripts", "diffusers")


def add(app: typer.Typer) -> None:
    """Add `verify`."""
    command(app, "verify", section=MERGE)(_verify)


def _verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Merged LoRA file, of any tool.")],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INPUT...]", help="Files that it was merged from, in order.", show_default="none"),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        option("--inputs", value="INPUT...", text="The same, as an option.", default="none"),
    ] = None,
    weights: Weights = None,
    blocks: Blocks = None,
    text_encoder: TextEncoder = None,
    balance: Balance = None,
    merger: Merger = None,
    network: NetworkFile = None,
    options: Options = None,
    tool: Annotated[
        str | None,
        option(
            "--tool",
            value="|".join(_TOOLS),
            text="Tool that must use every layer.",
            default="any of them",
            parser=choice("a tool", *_TOOLS),
        ),
    ] = None,
    base: BaseWeights = None,
    json_: Json = False,
) -> None:
    """Check a merged LoRA file, of any tool, against the files that it was merged from.

    The file is read through the key tables of ComfyUI and sd-scripts, and by diffusers where it is installed. Without
    --weights and --merger its own header states the request; where it states none, the weights of the inputs that
    explain the file best are found. --weights alone are those of a plain sum. The exit code is 1 if there is a fault.

    Example: lorarar verify merged.safetensors --inputs content.safetensors style.safetensors --weights 1,0.8
    """
    from lorarar.cli.errors import with_flags
    from lorarar.mergers import MergeRequest
    from lorarar.workflows import verify_file

    at_most_one(merger=merger, network=network)
    request = None
    if any(value is not None for value in (weights, blocks, text_encoder, balance, merger, network)):
        request = MergeRequest(
            merger=merger or (None if network else "direct"),
            network=network,
            weights=weights,
            blocks=dict(blocks or ()),
            text_encoder=text_encoder,
            balance=balance,
            options=settings(options),
        )
    result = verify_file(file, [*(inputs or []), *(more or [])], request, base=base, tool=tool)
    print(json.dumps(result.to_dict(), indent=1) if json_ else with_flags(result.text(), context.command))
    if result.faults:
        raise typer.Exit(ExitCode.FAILED)
