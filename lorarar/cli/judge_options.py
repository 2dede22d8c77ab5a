"""Options of the judge's commands, as types of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lorarar.cli.options import FLAG, option
from lorarar.cli.values import Part, part, whole_number

INPUTS, QUESTIONS = "Images and references", "Questions"


def image_option(name: str, value: str, text: str, **more: Any) -> Any:
    """Return the description of an option about images and references, see `option`."""
    return option(name, value=value, text=text, panel=INPUTS, **more)


def question_option(name: str, text: str, value: str = "N", **more: Any) -> Any:
    """Return the description of an option about questions, a whole number, see `option`."""
    return option(name, value=value, text=text, panel=QUESTIONS, parser=whole_number, **more)


RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a planned run.")]
Images = Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of the images.")]
ReferenceFile = Annotated[Path, image_option("--references", "FILE", "YAML file of concepts and their images.")]
Layout = Annotated[
    str | None,
    image_option("--layout", "PATTERN", "Pattern of the paths: {method}/{content}+{style}/{seed}.png.", default="none"),
]
Manifest = Annotated[
    Path | None,
    image_option("--manifest", "FILE", "JSON Lines file that lists the images, in place of --layout.", default="none"),
]
Ignore = Annotated[
    list[str] | None, image_option("--ignore", "GLOB", "Images to leave out; repeatable.", default="none")
]
ReferenceRoot = Annotated[
    Path | None,
    image_option(
        "--reference-root", "DIR", "Folder of the references.", default="that of the YAML file, or images/ in it"
    ),
]
Splits = Annotated[
    str | None,
    image_option("--splits", "NAME", "Splits in that file whose training part must not be judged.", default="none"),
]
RubricName = Annotated[str, option("--rubric", value="ID", text="Rubric: an id or a YAML file.", panel=QUESTIONS)]
Cases = Annotated[int, question_option("--cases", "Calibration cases of each kind and axis.")]
Backend = Annotated[
    str, option("--backend", value="NAME", text="Judge: tiny, transformers:PATH, openai:MODEL@URL or a mock.")
]
Labels = Annotated[
    Path | None,
    option("--labels", value="FILE", text="Correct labels, for mock:truth and mock:noisy.", default="none"),
]
Concurrency = Annotated[
    int | None,
    option(
        "--concurrency",
        value="N",
        text="Concurrent calls to an openai server.",
        default="that of the back end",
        parser=whole_number,
    ),
]
Cache = Annotated[
    Path | None, option("--cache", value="DIR", text="Folder of replies that several runs share.", default="none")
]
Budget = Annotated[
    int | None,
    option(
        "--budget-calls",
        value="N",
        text="Number of calls after which the run stops with exit code 5.",
        default="no limit",
        parser=whole_number,
    ),
]
ShardOption = Annotated[
    Part | None,
    option(
        "--shard",
        value="I/N",
        text="Ask the I-th of N shares of the questions, beside other clients in RUN.",
        default="all",
        parser=part,
    ),
]
Uncalibrated = Annotated[
    bool, option("--uncalibrated", value=FLAG, text="Go on even if the judge failed its calibration.")
]


def check_listing(layout: str | None, manifest: Path | None) -> None:
    """Check that the images are listed in one way.

    Raises:
        typer.BadParameter: There is neither a layout nor a manifest, or both.
    """
    if (layout is None) == (manifest is None):
        found = "neither" if layout is None else "both"
        raise typer.BadParameter(f"expected --layout PATTERN or --manifest FILE, found {found}: give one")
