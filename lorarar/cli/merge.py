"""The command that merges."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lorarar.cli.configurations import Commands
from lorarar.cli.options import add_option, assignment, options
from lorarar.mergers import CATALOGUE


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Register `merge`."""
    merge = commands.add_parser("merge", help="merge LoRA files into one ordinary LoRA file")
    merge.add_argument("files", type=Path, nargs="+", metavar="FILE", help="CONTENT STYLE, or any number of LoRA files")
    merge.add_argument("-o", "--output", type=Path, required=True, help="the file to write")
    merge.add_argument("--merger", choices=list(CATALOGUE), metavar="NAME", help="a method, see `lorarar mergers`")
    merge.add_argument(
        "--hypernetwork",
        metavar="NETWORK",
        help="a trained merger: a file, a folder that save_pretrained wrote, or a hub id, owner/name",
    )
    merge.add_argument(
        "--kinds",
        nargs="+",
        choices=["content", "style"],
        metavar="KIND",
        help="kind of each file, for networks that take any number of files; default: the first is the content",
    )
    merge.add_argument("--weights", type=float, nargs="+", metavar="W", help="one for each file; default: 1")
    merge.add_argument(
        "--block", action="append", default=[], metavar="PATH=W[,W..]", help="weight of a block, such as up_blocks.1"
    )
    merge.add_argument("--text-encoder", type=float, nargs="+", metavar="W", help="weight of the text encoders")
    add_option(merge)
    size = merge.add_mutually_exclusive_group()
    size.add_argument("--rank", type=int, help="truncate every layer to this rank")
    size.add_argument("--energy", type=float, help="truncate to the rank that keeps this share of the squared norm")
    merge.add_argument(
        "--base",
        metavar="MODEL",
        help="the base model, for DoRA, IA3, OFT and GLoRA files and for mergers that optimise each pair",
    )
    _add_pair(merge)
    merge.add_argument(
        "--format", choices=["kohya", "diffusers", "peft"], help="default: the one that the family's tools read"
    )
    merge.add_argument("--dtype", choices=["fp16", "bf16", "fp32"], default="fp16", help="default: %(default)s")
    merge.add_argument("--device", default="cpu", help="default: %(default)s")
    merge.add_argument("--save-coefficients", type=Path, metavar="FILE", help="write every coefficient as safetensors")
    merge.add_argument("--json", action="store_true", help="print the summary as JSON")
    merge.add_argument("--force", action="store_true", help="replace existing files")
    merge.set_defaults(run=_merge)


def _add_pair(merge: argparse.ArgumentParser) -> None:
    """Add the inputs of mergers that optimise each pair."""
    names = ", ".join(name for name, info in CATALOGUE.items() if info.pair)
    pair = merge.add_argument_group(f"for mergers that optimise each pair on a base: {names}")
    for kind in ("content", "style"):
        pair.add_argument(f"--{kind}-images", type=Path, metavar="DIR", help=f"images of the {kind}")
        pair.add_argument(
            f"--{kind}-description",
            default="",
            metavar="TEXT",
            help=f"the {kind} in words that the base understands, for text_guided, which needs no images",
        )
        pair.add_argument(
            f"--{kind}-prompt",
            metavar="TEXT",
            help="what its LoRA was trained with; default: the trigger words in its file",
        )
    pair.add_argument(
        "--init",
        metavar="NETWORK",
        help="a trained merger, as for --hypernetwork: the optimisation starts from its coefficients instead of 1",
    )
    pair.add_argument(
        "--runs", type=Path, metavar="DIR", help="folder for checkpoints until the merge is written; default: OUTPUT's"
    )


def _merge(arguments: argparse.Namespace) -> None:
    from lorarar.mergers import FileMerge, MergeRequest, PairInputs, describe_merge, merge_files

    pair = PairInputs(
        arguments.content_images,
        arguments.style_images,
        arguments.content_prompt,
        arguments.style_prompt,
        arguments.content_description,
        arguments.style_description,
        arguments.init,
        (arguments.runs or arguments.output.parent) / f"{arguments.output.stem}.run",
    )
    request = MergeRequest(
        arguments.merger,
        arguments.hypernetwork,
        arguments.kinds,
        arguments.weights,
        {name: _numbers(text) for name, text in map(assignment, arguments.block)},
        arguments.text_encoder,
        options(arguments),
        arguments.rank,
        arguments.energy,
        arguments.base,
        pair,
        arguments.device,
    )
    job = FileMerge(
        arguments.files,
        arguments.output,
        request,
        arguments.format,
        arguments.dtype,
        arguments.save_coefficients,
        arguments.force,
    )
    if request.optimises:
        from lorarar.workflows import merge_on_base

        summary = merge_on_base(job)
    else:
        summary = merge_files(job)
    print(json.dumps(summary, indent=1) if arguments.json else describe_merge(summary))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
