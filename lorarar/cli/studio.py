"""Studio command: the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorarar.cli.commands import command
from lorarar.cli.options import FLAG, MERGE, OUTPUT, option
from lorarar.cli.values import number, positive


def add(app: typer.Typer) -> None:
    """Add `studio`."""
    command(app, "studio", section=MERGE)(_studio)


def _studio(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER...]", help="Folders whose files the page may read.", show_default="none"),
    ] = None,
    output: Annotated[
        Path, option("-o", "--output", value="DIR", text="Folder of uploads, results and votes.", panel=OUTPUT)
    ] = Path("studio"),
    index: Annotated[
        Path | None, option("--index", value="FILE", text="Index of a library to pick from.", default="none")
    ] = None,
    base: Annotated[
        str | None,
        option("--base", value="MODEL", text="Base model that is filled in.", default="the embedded one"),
    ] = None,
    port: Annotated[
        int, option("--port", value="N", text="First port that is tried, on 127.0.0.1.", parser=positive)
    ] = 7860,
    max_upload: Annotated[float, option("--max-upload", value="GB", text="Largest upload.", parser=number)] = 8.0,
    share: Annotated[
        bool,
        option("--share", value=FLAG, text="Make a public link with a password, through Gradio's server."),
    ] = False,
    no_browser: Annotated[bool, option("--no-browser", value=FLAG, text="Do not open the page.")] = False,
) -> None:
    """Open a web page on this machine to look at LoRAs, merge them, preview, save and compare them blind.

    The page asks nothing of the network. It reads files that are dropped on it, of FOLDER and of the index.

    Example: lorarar studio ~/loras
    """
    from lorarar.studio import StudioSettings, run_studio

    run_studio(
        StudioSettings(
            work=output,
            folders=tuple(folders or ()),
            index=index,
            base=base,
            port=port,
            max_gb=max_upload,
            share=share,
            browser=not no_browser,
        )
    )
