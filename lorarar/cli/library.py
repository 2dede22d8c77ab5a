"""Library commands: index folders of LoRA files, search, cluster, find duplicates, attribute merges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import lorarar.library as room  # its names load torch when they are first used
from lorarar.cli.commands import Resumable, command, new_app
from lorarar.cli.options import COMPUTE, FLAG, ORGANISE, OUTPUT, BaseWeights, Device, Force, Json, option
from lorarar.cli.values import Conditions, choice, conditions, number, positive
from lorarar.library import BASE_FINGERPRINTS, DEFAULT_FINGERPRINT, DEFAULT_INDEX, FINGERPRINTS
from lorarar.storage import printable

INDEX, ALL = Path(DEFAULT_INDEX), Conditions()
NAMES = (*FINGERPRINTS, *BASE_FINGERPRINTS)
CHOICE = f"Fingerprint: {', '.join(FINGERPRINTS)}, or after `draw` {' or '.join(BASE_FINGERPRINTS)}."
CONDITION = "Conditions family=NAME, kind=content or kind=style, rank=N, separated by commas."

Index = Annotated[Path, option("--index", value="FILE", text="Index of the library.")]
Count = Annotated[int, option("--count", value="N", text="Largest number of results.", parser=positive)]
Where = Annotated[
    Conditions, option("--where", value="FIELD=VALUE", text=CONDITION, default="all entries", parser=conditions)
]
By = Annotated[str, option("--by", value="NAME", text=CHOICE, parser=choice("a fingerprint", *NAMES))]
Model = Annotated[
    str | None,
    option("--base", value="MODEL", text="Base model that draws: a folder or a hub id.", panel=COMPUTE, default="none"),
]
LoraName = Annotated[str, typer.Argument(metavar="LORA", help="LoRA file, or name or hash of an entry.")]
Words = Annotated[
    list[str] | None, typer.Argument(metavar="WORD...", help="Words of names, triggers, tags.", show_default="any")
]
Images = Annotated[
    Path | None, option("--images", value="DIR", text="Image, or folder of images, that LoRAs draw.", default="none")
]


def add(app: typer.Typer) -> None:
    """Add `library` and its commands."""
    library = new_app(help="Search, compare and sort folders of LoRA files by their weights.")
    command(library, "add", Resumable)(_add)
    command(library, "search")(_search)
    command(library, "neighbours")(_neighbours)
    command(library, "cluster")(_cluster)
    command(library, "duplicates")(_duplicates)
    command(library, "attribute")(_attribute)
    command(library, "draw", Resumable)(_draw)
    command(library, "show")(_show)
    command(library, "remove")(_remove)
    command(library, "export")(_export)
    app.add_typer(library, name="library", rich_help_panel=ORGANISE)


def _add(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of LoRA files, or files.")],
    index: Index = INDEX,
    base: BaseWeights = None,
    threads: Annotated[
        int, option("--threads", value="N", text="Files that are read at once.", panel=COMPUTE, parser=positive)
    ] = 2,
    again: Annotated[bool, option("--again", value=FLAG, text="Try unreadable files again.")] = False,
) -> None:
    """Add LoRA files to an index; only new and changed files are read, and the files stay where they are.

    Example: lorarar library add ~/loras
    """
    with room.Library(index, base=base) as library:
        print(library.add(folders, threads=threads, again=again).text())


def _search(
    words: Words = None,
    index: Index = INDEX,
    images: Images = None,
    base: Model = None,
    count: Count = 10,
    device: Device = "auto",
    where: Where = ALL,
    json_: Json = False,
) -> None:
    """Find LoRAs by words of their names, trigger words, tags and descriptions, or by images after `draw`."""
    if images is not None and (base is None or words):
        raise typer.BadParameter("expected --images with --base and without words: drop the words, give the base")
    chosen = room.Filter(**where)
    with room.Library(index) as library:
        if images is None or base is None:
            rows = [entry.row() for entry in library.search(" ".join(words or ()), where=chosen, count=count)]
        else:
            hits = room.search_images(library, [images], base, where=chosen, count=count, device=device)
            rows = [hit.row() for hit in hits]
    _print(rows, json_)


def _neighbours(
    lora: LoraName,
    index: Index = INDEX,
    by: By = DEFAULT_FINGERPRINT,
    count: Count = 10,
    diversity: Annotated[
        float, option("--diversity", value="X", text="0 takes the most similar, 1 prefers variety.", parser=number)
    ] = 0.0,
    exact: Annotated[bool, option("--exact", value=FLAG, text="Order the nearest by their files' weights.")] = False,
    base: BaseWeights = None,
    where: Where = ALL,
    json_: Json = False,
) -> None:
    """Find the LoRAs most similar to one."""
    chosen = room.Filter(**where)
    with room.Library(index, base=base) as library:
        hits = library.neighbours(lora, by=by, where=chosen, count=count, diversity=diversity, exact=exact)
    _print([hit.row() for hit in hits], json_)


def _cluster(
    index: Index = INDEX,
    by: By = DEFAULT_FINGERPRINT,
    clusters: Annotated[
        int | None, option("--clusters", value="N", text="Their number.", default="the clearest", parser=positive)
    ] = None,
    where: Where = ALL,
    json_: Json = False,
) -> None:
    """Sort LoRAs into clusters of similar ones."""
    with room.Library(index) as library:
        found = library.cluster(by=by, where=room.Filter(**where), count=clusters)
    _print([{"cluster": i, **entry.row()} for i, cluster in enumerate(found, 1) for entry in cluster.entries], json_)


def _duplicates(index: Index = INDEX, base: BaseWeights = None, where: Where = ALL, json_: Json = False) -> None:
    """List files that are versions of each other, with the evidence; nothing is deleted."""
    with room.Library(index, base=base) as library:
        _print([vars(duplicate) for duplicate in library.duplicates(room.Filter(**where))], json_)


def _attribute(
    lora: LoraName, index: Index = INDEX, base: BaseWeights = None, where: Where = ALL, json_: Json = False
) -> None:
    """Tell of which LoRAs of the library a file is a weighted sum."""
    with room.Library(index, base=base) as library:
        result = library.attribute(lora, where=room.Filter(**where))
    print(json.dumps(asdict(result), indent=1) if json_ else result.text())


def _draw(
    base: Model = None,
    index: Index = INDEX,
    prompt: Annotated[
        str, option("--prompt", value="TEXT", text="Prompt of all images.", default="each LoRA's trigger words")
    ] = "",
    device: Device = "auto",
    where: Where = ALL,
) -> None:
    """Draw images with each LoRA, for thumbnails and for a search by images or behaviour; needs --base."""
    if base is None:
        raise typer.BadParameter("expected a base model, found none: give --base MODEL")
    with room.Library(index) as library:
        drawn = room.draw_entries(library, base, prompt=prompt, where=room.Filter(**where), device=device)
    print(f"drew with {drawn} LoRAs")


def _show(
    lora: Annotated[
        str | None, typer.Argument(metavar="LORA", help="Name, path or hash.", show_default="a summary")
    ] = None,
    index: Index = INDEX,
    json_: Json = False,
) -> None:
    """Show what the index holds of a LoRA; without one, a summary and the files that could not be read."""
    with room.Library(index) as library:
        row = library.summary() if lora is None else library.find(lora).row()
    lines = [printable(f"{name:<12} {value}") for name, value in row.items()]
    print(json.dumps(row, indent=1) if json_ else "\n".join(lines))


def _remove(
    loras: Annotated[
        list[str] | None, typer.Argument(metavar="LORA...", help="Names, paths or hashes.", show_default="none")
    ] = None,
    index: Index = INDEX,
    missing: Annotated[bool, option("--missing", value=FLAG, text="Remove the entries whose files are gone.")] = False,
) -> None:
    """Remove entries from the index; the LoRA files stay."""
    with room.Library(index) as library:
        print(f"removed {library.remove(loras or (), missing=missing)} entries")


def _export(
    output: Annotated[Path, option("-o", "--output", value="FILE", text=".html, .csv or .json file.", panel=OUTPUT)],
    index: Index = INDEX,
    by: By = DEFAULT_FINGERPRINT,
    where: Where = ALL,
    force: Force = False,
) -> None:
    """Write a page with a map, clusters, neighbours and duplicates, or the entries as a table."""
    with room.Library(index) as library:
        print(room.export_library(library, output, by=by, where=room.Filter(**where), force=force))


def _print(rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows as JSON, or as lines without what is long or usual."""
    rows = list(rows)
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows or [{"result": "none"}]:
        cells = {k: v for k, v in row.items() if k not in ("sha256", "layers", "norm", "copies") and v not in ("", 0)}
        words = (f"rank {v}" if k == "rank" else f"{v:.2f}" if k == "probability" else str(v) for k, v in cells.items())
        print(printable("  ".join(word for word in words if word != "lora")))
