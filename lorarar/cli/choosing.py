"""Choosing commands: recommend, preview, mergers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorarar.cli.commands import command
from lorarar.cli.options import (
    IMAGES,
    MERGE,
    OUTPUT,
    BaseDtype,
    BaseWeights,
    Device,
    Force,
    Guidance,
    Json,
    NetworkFile,
    SampledSeeds,
    Steps,
    option,
)
from lorarar.cli.values import Numbers, Seeds, merger_name, numbers

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lorarar.mergers import Merger

SHOWN = "What the sheet shows"
_SEEDS = Seeds([0, 1, 2, 3])
_KINDS = {"coefficients": "Scale each LoRA", "delta": "Mix the entries", "runtime": "Act while sampling"}


def add(app: typer.Typer) -> None:
    """Add `recommend`, `preview` and `mergers`."""
    command(app, "recommend", section=MERGE)(_recommend)
    command(app, "preview", section=IMAGES)(_preview)
    command(app, "mergers", section=MERGE)(_mergers)


def _mergers(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Method to describe in full.", parser=merger_name, show_default="all"),
    ] = None,
    json_: Json = False,
) -> None:
    """List the methods, the default first: what each does, needs, takes and leaves; or describe one in full.

    Example: lorarar mergers ties
    """
    from lorarar.cli.help import print_page
    from lorarar.mergers import mergers_data

    if json_:
        rows = [row for row in mergers_data() if name in (None, row["name"])]
        print(json.dumps(rows[0] if name else rows, indent=1))
        return
    print_page(_in_full(name) if name else _list_all())


def _recommend(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="LoRA files or hub ids (owner/name).")],
    base: BaseWeights = None,
    json_: Json = False,
) -> None:
    """Say what LoRA files are, how strong, where they collide, and which method and command merge them.

    Example: lorarar recommend content.safetensors style.safetensors
    """
    from lorarar.workflows import recommend

    result = recommend(files, base)
    print(json.dumps(result.to_dict(), indent=1) if json_ else result.text())


def _preview(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="LoRA files or hub ids: CONTENT STYLE, or more.")
    ],
    base: Annotated[str, option("--base", value="MODEL", text="Base model: a folder or a hub id.", panel=SHOWN)],
    output: Annotated[Path, option("-o", "--output", value="FILE", text="PNG to write.", panel=OUTPUT)],
    mergers: Annotated[
        list[str] | None,
        option(
            "--merger",
            value="NAME",
            text="Method of a row; repeatable.",
            panel=SHOWN,
            default="the default for the files, auto, direct and ties",
            parser=merger_name,
        ),
    ] = None,
    network: NetworkFile = None,
    weights: Annotated[
        list[Numbers] | None,
        option(
            "--weights",
            value="W,W",
            text="Weights of a column; repeatable.",
            panel=SHOWN,
            default="1,0.5 to 0.5,1 in five columns",
            parser=numbers,
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        option(
            "--prompt",
            value="TEXT",
            text="Prompt of all images.",
            panel=SHOWN,
            default="the files' trigger words, joined",
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        option(
            "--images",
            value="DIR",
            text="Images of a file's concept, for the reference; repeatable, in the order of the files.",
            panel=SHOWN,
            default="those of an embedded world",
        ),
    ] = None,
    seeds_: SampledSeeds = _SEEDS,
    steps: Steps = 20,
    guidance: Guidance = 5.0,
    device: Device = "auto",
    dtype: BaseDtype = "fp32",
    force: Force = False,
    json_: Json = False,
) -> None:
    """Draw one sheet: references, each LoRA alone, and methods by weights, with scores where the base's world is known.

    Example: lorarar preview content.safetensors style.safetensors --base BASE -o sheet.png
    """
    from dataclasses import asdict

    from lorarar.diffusion import Sampling
    from lorarar.workflows import PreviewRequest, describe_preview, draw_preview

    request = PreviewRequest(
        base=base,
        mergers=mergers or (),
        network=network,
        weights=weights or (),
        prompt=prompt,
        images=images or (),
        seeds=seeds_,
        sampling=Sampling(steps, guidance),
        device=device,
        dtype=dtype,
    )
    cells = draw_preview(files, output, request, force=force)
    text = json.dumps([asdict(cell) for cell in cells], indent=1) if json_ else describe_preview(cells)
    print(*filter(None, [text, "" if json_ else str(output)]), sep="\n")


def _list_all() -> list[RenderableType]:
    """Return a table of all mergers, and what its words mean."""
    from rich.table import Table
    from rich.text import Text

    from lorarar.mergers import DEFAULT, LEAVES, MERGERS, describe_merger

    table = Table.grid(padding=(0, 2, 0, 0))
    for width in (18, None, 7, 5, 7):
        table.add_column(min_width=width, max_width=width)
    table.add_row("", "", *(Text(word, style="bold") for word in ("needs", "takes", "leaves")))
    last = ""
    kinds = list(_KINDS)
    for merger in sorted(MERGERS.values(), key=lambda row: (row.name != DEFAULT, kinds.index(row.kind))):
        title = "Default" if merger.name == DEFAULT else _KINDS[merger.kind]
        if title != last:
            table.add_row(Text(title if title == "Default" else f"\n{title}", style="bold"))
        last, row = title, describe_merger(merger.name)
        table.add_row(Text(f"  {merger.name}", style="cyan"), row.does, row.needs, row.takes, row.leaves)
    notes = [Text(f"leaves {word}: {text}", style="dim") for word, text in LEAVES.items()]
    networks = ", ".join(merger.name for merger in MERGERS.values() if merger.learned)
    default = (
        f"The default is taken where no network is shipped that fits the files. A trained network ({networks}) is "
        "--network NETWORK; every other method is --merger NAME."
    )
    more = "`lorarar mergers NAME` has the formula, the options and an example; `lorarar recommend` chooses for files."
    return [table, Text(), *notes, Text(), Text(default, style="dim"), Text(more, style="dim")]


def _in_full(name: str) -> list[RenderableType]:
    """Return all that is known of a merger."""
    from rich.text import Text

    from lorarar.cli.help import section, with_default
    from lorarar.mergers import LEAVES, MERGERS, describe_merger

    merger, row = MERGERS[name], describe_merger(name)
    facts = {
        "computes": row.formula,
        "needs": {"nothing": "nothing but the files"}.get(row.needs, row.needs),
        "takes": {"two": "a content and a style, in this order"}.get(row.takes, "any number of LoRAs"),
        "leaves": LEAVES[row.leaves],
        "kind": merger.kind,
        "source": merger.citation,
    }
    parts: list[RenderableType] = [Text.assemble((name, "bold cyan"), f": {row.does}")]
    parts.append(section("Facts", [(Text(key), Text(text)) for key, text in facts.items() if text]))
    options = [
        (Text(option, style="cyan"), with_default(f"{text}." if text else "", f"{merger.options[option]:g}"))
        for option, text in row.options.items()
    ]
    parts += [section("Options (--option NAME=NUMBER)", options)] if options else []
    return [*parts, Text(), Text("Example", style="bold"), Text(f"  {_command(merger)}")]


def _command(merger: Merger) -> str:
    """Return an example of a merger's use."""
    files = "content.safetensors style.safetensors"
    if merger.kind == "runtime":
        loras = " ".join(f"--lora {file}" for file in files.split())
        return (
            f'lorarar generate --base BASE {loras} --merger {merger.name} --prompt "a sks cat in szn style" -o images'
        )
    command = f"lorarar merge {files} -o merged.safetensors"
    if merger.learned:
        return f"{command} --network NETWORK"
    given = {
        "base images": " --base BASE --content-images DIR --style-images DIR",
        "base descriptions": ' --base BASE --content-description "a red cat" --style-description "ink drawing"',
        "base prompts": " --base BASE",
    }
    option = next((f" --option {key}={value:g}" for key, value in merger.options.items()), "")
    return f"{command} --merger {merger.name}{given.get(merger.needs, '')}{option}"
