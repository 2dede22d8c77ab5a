"""Library commands: index folders of LoRA files, search, cluster, find duplicates, attribute merges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lorarar.cli.commands import Resumable, command, new_app
from lorarar.cli.options import COMPUTE, FLAG, ORGANISE, OUTPUT, BaseWeights, Device, Force, Json, option
from lorarar.cli.values import KINDS, choice, number, positive
from lorarar.library import BASE_FINGERPRINTS, DEFAULT_FINGERPRINT, DEFAULT_INDEX, FINGERPRINTS
from lorarar.storage import printable

CONDITIONS = "Conditions"
Index = Annotated[Path, option("--index", value="FILE", text="Index of the library.")]
Count = Annotated[int, option("--count", value="N", text="Largest number of results.", parser=positive)]
Family = Annotated[
    str | None, option("--family", value="NAME", text="Family of the base model.", panel=CONDITIONS, default="any")
]
Kind = Annotated[
    str | None,
    option(
        "--kind",
        value="|".join(KINDS),
        text="Kind, as files state it or as predicted.",
        panel=CONDITIONS,
        default="any",
        parser=choice("a kind", *KINDS),
    ),
]
Rank = Annotated[
    int | None,
    option("--rank", value="N", text="Rank of the files.", panel=CONDITIONS, default="any", parser=positive),
]
By = Annotated[
    str,
    option(
        "--by",
        value="NAME",
        text=f"Fingerprint: {', '.join(FINGERPRINTS)}, or with a base model {' or '.join(BASE_FINGERPRINTS)}.",
        parser=choice("a fingerprint", *FINGERPRINTS, *BASE_FINGERPRINTS),
    ),
]
Model = Annotated[
    str | None,
    option("--base", value="MODEL", text="Base model that draws: a folder or a hub id.", panel=COMPUTE, default="none"),
]
Entry = Annotated[str, typer.Argument(metavar="LORA", help="LoRA file, or name or hash of an entry.")]


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
    index: Index = Path(DEFAULT_INDEX),
    base: BaseWeights = None,
    threads: Annotated[
        int, option("--threads", value="N", text="Files that are read at once.", panel=COMPUTE, parser=positive)
    ] = 2,
    again: Annotated[
        bool, option("--again", value=FLAG, text="Try files again that could not be read before.")
    ] = False,
) -> None:
    """Add LoRA files to an index; only new and changed files are read, and the files stay where they are.

    Example: lorarar library add ~/loras
    """
    from lorarar.library import Library

    with Library(index, base=base) as library:
        print(library.add(folders, threads=threads, again=again).text())


def _search(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD...", help="Words of names, triggers and tags.", show_default="any"),
    ] = None,
    index: Index = Path(DEFAULT_INDEX),
    images: Annotated[
        Path | None,
        option(
            "--images", value="DIR", text="Image, or folder of images, to find LoRAs that draw alike.", default="none"
        ),
    ] = None,
    base: Model = None,
    count: Count = 10,
    device: Device = "auto",
    family: Family = None,
    kind: Kind = None,
    rank: Rank = None,
    json_: Json = False,
) -> None:
    """Find LoRAs by words of their names, trigger words, tags and descriptions, or by images after `draw`."""
    from lorarar.library import Filter, Library, search_images

    where = Filter(family, kind, rank)
    if images is not None and (base is None or words):
        raise typer.BadParameter("expected --images with --base and without words: drop the words, give the base")
    with Library(index) as library:
        if images is not None and base is not None:
            hits = search_images(library, [images], base, where=where, count=count, device=device)
            rows = [{"similarity": round(hit.similarity, 4)} | hit.entry.row() for hit in hits]
        else:
            rows = [entry.row() for entry in library.search(" ".join(words or ()), where=where, count=count)]
    _print(rows, json_)


def _neighbours(
    lora: Entry,
    index: Index = Path(DEFAULT_INDEX),
    by: By = DEFAULT_FINGERPRINT,
    count: Count = 10,
    diversity: Annotated[
        float,
        option("--diversity", value="X", text="0 takes the most similar, up to 1 prefers variety.", parser=number),
    ] = 0.0,
    exact: Annotated[
        bool, option("--exact", value=FLAG, text="Order the nearest by exact cosines; reads their files.")
    ] = False,
    base: BaseWeights = None,
    family: Family = None,
    kind: Kind = None,
    rank: Rank = None,
    json_: Json = False,
) -> None:
    """Find the LoRAs most similar to one."""
    from lorarar.library import Filter, Library

    with Library(index, base=base) as library:
        hits = library.neighbours(
            lora, by=by, where=Filter(family, kind, rank), count=count, diversity=diversity, exact=exact
        )
    _print([{"similarity": round(hit.similarity, 4)} | hit.entry.row() for hit in hits], json_)


def _cluster(
    index: Index = Path(DEFAULT_INDEX),
    by: By = DEFAULT_FINGERPRINT,
    clusters: Annotated[
        int | None,
        option(
            "--clusters",
            value="N",
            text="Number of clusters.",
            default="the number with the best silhouette",
            parser=positive,
        ),
    ] = None,
    family: Family = None,
    kind: Kind = None,
    rank: Rank = None,
    json_: Json = False,
) -> None:
    """Sort LoRAs into clusters of similar ones."""
    from lorarar.library import Filter, Library

    with Library(index) as library:
        found = library.cluster(by=by, where=Filter(family, kind, rank), count=clusters)
    rows = [{"cluster": i, **entry.row()} for i, cluster in enumerate(found, 1) for entry in cluster.entries]
    _print(rows, json_)


def _duplicates(
    index: Index = Path(DEFAULT_INDEX),
    base: BaseWeights = None,
    family: Family = None,
    kind: Kind = None,
    rank: Rank = None,
    json_: Json = False,
) -> None:
    """List files that are versions of each other, with the evidence; nothing is deleted."""
    from lorarar.library import Filter, Library

    with Library(index, base=base) as library:
        found = library.duplicates(Filter(family, kind, rank))
    _print([vars(duplicate) for duplicate in found], json_)


def _attribute(
    lora: Entry,
    index: Index = Path(DEFAULT_INDEX),
    base: BaseWeights = None,
    family: Family = None,
    kind: Kind = None,
    rank: Rank = None,
    json_: Json = False,
) -> None:
    """Tell of which LoRAs of the library a file is a weighted sum."""
    from dataclasses import asdict

    from lorarar.library import Filter, Library

    with Library(index, base=base) as library:
        result = library.attribute(lora, where=Filter(family, kind, rank))
    print(json.dumps(asdict(result), indent=1) if json_ else result.text())


def _draw(
    base: Model = None,
    index: Index = Path(DEFAULT_INDEX),
    prompt: Annotated[
        str, option("--prompt", value="TEXT", text="Prompt of all images.", default="each LoRA's trigger words")
    ] = "",
    device: Device = "auto",
    family: Family = None,
    kind: Kind = None,
    rank: Rank = None,
) -> None:
    """Draw images with each LoRA, for thumbnails of the page and for `search --images`; needs --base."""
    from lorarar.library import Filter, Library, draw_entries

    if base is None:
        raise typer.BadParameter("expected a base model, found none: give --base MODEL")
    with Library(index) as library:
        drawn = draw_entries(library, base, prompt=prompt, where=Filter(family, kind, rank), device=device)
    print(f"drew with {drawn} LoRAs")


def _show(
    lora: Annotated[
        str | None,
        typer.Argument(metavar="LORA", help="Path, name or hash of an entry.", show_default="a summary of all"),
    ] = None,
    index: Index = Path(DEFAULT_INDEX),
    json_: Json = False,
) -> None:
    """Show what the index holds of a LoRA; without one, a summary and the files that could not be read."""
    from lorarar.library import Library

    with Library(index) as library:
        if lora is None:
            print(json.dumps(library.failures(), indent=1) if json_ else library.text())
            return
        entry = library.find(lora)
    row = entry.row() | {"paths": list(entry.paths)}
    print(
        json.dumps(row, indent=1)
        if json_
        else "\n".join(printable(f"{name:<12} {value}") for name, value in row.items())
    )


def _remove(
    loras: Annotated[
        list[str] | None,
        typer.Argument(metavar="LORA...", help="Paths, names or hashes of entries.", show_default="none"),
    ] = None,
    index: Index = Path(DEFAULT_INDEX),
    missing: Annotated[bool, option("--missing", value=FLAG, text="Remove the entries whose files are gone.")] = False,
) -> None:
    """Remove entries from the index; the LoRA files stay."""
    from lorarar.library import Library

    with Library(index) as library:
        print(f"removed {library.remove(loras or (), missing=missing)} entries")


def _export(
    output: Annotated[
        Path, option("-o", "--output", value="FILE", text="File to write: .html, .csv or .json.", panel=OUTPUT)
    ],
    index: Index = Path(DEFAULT_INDEX),
    by: By = DEFAULT_FINGERPRINT,
    family: Family = None,
    kind: Kind = None,
    rank: Rank = None,
    force: Force = False,
) -> None:
    """Write a page with a map, clusters, neighbours and duplicates, or the entries as a table."""
    from lorarar.library import Filter, Library, export_library

    with Library(index) as library:
        print(export_library(library, output, by=by, where=Filter(family, kind, rank), force=force))


def _print(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print rows as JSON, or as lines whose long columns come last."""
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows or [{"result": "none"}]:
        print(printable("  ".join(_cells(row))))


def _cells(row: dict[str, Any]) -> Iterable[str]:
    for name, value in row.items():
        if name in ("sha256", "layers", "norm", "copies") or value in ("", 0):
            continue
        if name in ("algorithm", "family") and value in ("lora",):
            continue
        yield f"rank {value}" if name == "rank" else f"{value:.2f}" if name == "probability" else str(value)
