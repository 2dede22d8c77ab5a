"""Options that several commands share, as types of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lorarar.cli.values import (
    DTYPES,
    FORMATS,
    Block,
    Dtype,
    Format,
    Numbers,
    Seeds,
    Setting,
    block,
    choice,
    device,
    file_format,
    merger_name,
    number,
    numbers,
    positive,
    seeds,
    setting,
    share,
)

# Placeholder of an option that takes no value.
FLAG = ""
# Sections of the list of commands.
MERGE, IMAGES, TRAIN = "Merge files", "Generate and score images", "Train"
ORGANISE, REPRODUCE, SET_UP = "Organise files", "Reproduce", "Set up"
# Sections of the list of options.
METHOD, STRENGTH, OUTPUT, COMPUTE, SAMPLING = "Method", "Strength", "Output", "Compute", "Sampling"
UNITS = "Many machines"


def option(
    *names: str, value: str, text: str, panel: str | None = None, default: str | bool = True, **more: Any
) -> Any:
    """Return the description of an option.

    Args:
        names: "-o", "--output".
        value: Placeholder of the value, `FLAG` for none.
        text: Help.
        panel: Heading of the help under which it stands.
        default: What the help says of the default, where it is None; True shows the default.
        more: As `typer.Option` takes it, such as the parser.
    """
    return typer.Option(*names, metavar=value, help=text, rich_help_panel=panel, show_default=default, **more)


Merger = Annotated[
    str | None,
    option(
        "--merger",
        value="NAME",
        text="Method, see `lorarar mergers`.",
        panel=METHOD,
        default="the network shipped for the files' family, else auto",
        parser=merger_name,
    ),
]
NetworkFile = Annotated[
    str | None,
    option(
        "--network",
        value="NETWORK",
        text="Trained merger: a file, a folder that save_pretrained wrote, or a hub id (owner/name).",
        panel=METHOD,
        default="the one shipped for the files' family",
    ),
]
Options = Annotated[
    list[Setting] | None,
    option(
        "--option",
        value="NAME=NUMBER",
        text="Setting of the merger; repeatable.",
        panel=METHOD,
        default="those of `lorarar mergers`",
        parser=setting,
    ),
]
Weights = Annotated[
    Numbers | None,
    option(
        "--weights",
        value="W,W",
        text="Weight of each LoRA, as in 0.8,1; one number weighs all.",
        panel=STRENGTH,
        default="1 for each",
        parser=numbers,
    ),
]
Blocks = Annotated[
    list[Block] | None,
    option(
        "--block",
        value="PATH=W[,W]",
        text="Weight of a block, such as up_blocks.1, for all files or for each; repeatable.",
        panel=STRENGTH,
        default="1",
        parser=block,
    ),
]
TextEncoder = Annotated[
    Numbers | None,
    option(
        "--text-encoder",
        value="W[,W]",
        text="Weight of the text encoders, for all files or for each.",
        panel=STRENGTH,
        default="1",
        parser=numbers,
    ),
]
SampledSeeds = Annotated[
    Seeds, option("--seeds", value="N,N", text="Seed of each image, as in 0,1,2.", panel=SAMPLING, parser=seeds)
]
Steps = Annotated[int, option("--steps", value="N", text="Sampling steps.", panel=SAMPLING, parser=positive)]
Guidance = Annotated[
    float, option("--guidance", value="X", text="Classifier-free guidance; 1 is none.", panel=SAMPLING, parser=number)
]
Balance = Annotated[
    float | None,
    option(
        "--balance",
        value="N",
        text="Bring the LoRAs of each layer to one length first: 0 (not at all) to 1.",
        panel=STRENGTH,
        default="the merger's own, 0 for all but auto",
        parser=number,
    ),
]
Rank = Annotated[
    int | None,
    option(
        "--rank",
        value="N",
        text="Truncate every layer to this rank.",
        panel=OUTPUT,
        default="keep the full rank",
        parser=positive,
    ),
]
Energy = Annotated[
    float | None,
    option(
        "--energy",
        value="SHARE",
        text="Truncate to the rank that keeps this share of the squared norm, 0 to 1.",
        panel=OUTPUT,
        default="keep the full rank",
        parser=share,
    ),
]
FileFormat = Annotated[
    Format | None,
    option(
        "--format",
        value="|".join(FORMATS),
        text="Format of the file.",
        panel=OUTPUT,
        default="the one that the family's tools read",
        parser=file_format,
    ),
]
FileDtype = Annotated[
    Dtype,
    option(
        "--dtype",
        value="|".join(DTYPES),
        text="Precision of the weights in the file.",
        panel=OUTPUT,
        parser=choice("a dtype", *DTYPES),
    ),
]
BaseDtype = Annotated[
    Dtype,
    option(
        "--dtype",
        value="|".join(DTYPES),
        text="Precision of the base.",
        panel=COMPUTE,
        parser=choice("a dtype", *DTYPES),
    ),
]
OutputFile = Annotated[Path, option("-o", "--output", value="FILE", text="File to write.", panel=OUTPUT)]
BaseWeights = Annotated[
    Path | None,
    option(
        "--base",
        value="MODEL",
        text="Base model: a file or a folder, for DoRA, IA3, OFT and GLoRA files.",
        default="none",
    ),
]
Device = Annotated[
    str,
    option(
        "--device",
        value="DEVICE",
        text="Device to compute on: auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:1 or mps.",
        panel=COMPUTE,
        parser=device,
    ),
]
Offload = Annotated[
    bool,
    option(
        "--offload",
        value=FLAG,
        text="Keep text encoders and autoencoder on the CPU while they are not used.",
        panel=COMPUTE,
    ),
]
AllowExtrapolation = Annotated[
    bool,
    option(
        "--allow-extrapolation",
        value=FLAG,
        text="Let a network merge files that lie far outside what it was trained on.",
        panel=METHOD,
    ),
]
EngineName = Annotated[
    Literal["local", "ray", "slurm"],
    option(
        "--engine",
        value="ENGINE",
        text="Where the work is done: local (this process), ray or slurm.",
        panel=UNITS,
        parser=choice("an engine", "local", "ray", "slurm"),
    ),
]
Address = Annotated[
    str,
    option("--address", value="ADDRESS", text="Ray cluster: auto or HOST:PORT.", panel=UNITS, default="this machine"),
]
WorkerCount = Annotated[
    int, option("--workers", value="N", text="Workers of ray or slurm.", panel=UNITS, parser=positive)
]
WorkerGpus = Annotated[
    float, option("--gpus", value="X", text="GPUs of a worker; 0.25 shares one among four.", panel=UNITS, parser=number)
]
Force = Annotated[bool, option("--force", value=FLAG, text="Replace existing files.", panel=OUTPUT)]
Json = Annotated[bool, option("--json", value=FLAG, text="Print JSON.", panel=OUTPUT)]


def at_most_one(**values: object) -> None:
    """Check that at most one of several options is given.

    Args:
        values: The options' values by their Python names.

    Raises:
        typer.BadParameter: More than one is given.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in values.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"expected {' or '.join(given)}, found both: drop one")
