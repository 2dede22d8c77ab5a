"""Data commands: write the manifest of a folder of images, check a manifest and its images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lorarar.cli.commands import command, new_app
from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.options import OUTPUT, TRAIN, Force, option
from lorarar.cli.values import KINDS, Numbers, choice, numbers

_kind = choice("a kind", *KINDS)


def add(app: typer.Typer) -> None:
    """Add `manifest`, and `data` with its commands."""
    command(app, "manifest", section=TRAIN)(_manifest)
    data = new_app(help="Check the data of a training.")
    command(data, "check")(_check)
    app.add_typer(data, name="data", rich_help_panel=TRAIN)


def _manifest(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder with contents/NAME and styles/NAME, or folders NAME.")
    ],
    output: Annotated[
        Path | None,
        option("-o", "--output", value="FILE", text="File to write.", panel=OUTPUT, default="FOLDER/concepts.yaml"),
    ] = None,
    kind: Annotated[
        str, option("--kind", value="KIND", text="Kind of folders NAME: content or style.", parser=_kind)
    ] = "content",
    token: Annotated[
        str | None,
        option(
            "--token",
            value="WORD",
            text="Rare word that stands for a concept.",
            default="sks for contents, szn for styles",
        ),
    ] = None,
    split: Annotated[str, option("--split", value="NAME", text="Name of the splits.")] = "mine",
    shares: Annotated[
        Numbers | None,
        option(
            "--shares",
            value="S,S,S",
            text="Shares of the concepts in train, validation and test.",
            default="1",
            parser=numbers,
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write the manifest of a folder of images: concepts, captions from text files beside the images, splits.

    Example: lorarar manifest my_images --shares 0.6,0.2,0.2
    """
    from lorarar.datasets import write_folder_manifest
    from lorarar.storage import say

    path = write_folder_manifest(
        folder, output, kind=kind, token=token, split=split, shares=shares or (1.0,), force=force
    )
    print(path)
    say(f"next: lorarar data check {shlex.join([str(path), '--images', str(folder)])}")


def _check(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="YAML file with concepts.")],
    images: Annotated[
        Path | None,
        option(
            "--images",
            value="FOLDER",
            text="Folder of the concepts' folders.",
            default="the manifest's own, or images in it",
        ),
    ] = None,
) -> ExitCode:
    """Say what is missing, unreadable, duplicated or shared between splits, before any model is loaded."""
    from lorarar.datasets import check_data

    report = check_data(manifest, images)
    print(report.text())
    return ExitCode.FAILED if report.faults else ExitCode.SUCCESS
