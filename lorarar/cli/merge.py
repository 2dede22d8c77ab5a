"""Merge command: merge LoRA files into one ordinary LoRA file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lorarar.cli.configurations import Commands
from lorarar.cli.options import (
    add_device,
    add_file_format,
    add_force,
    add_json,
    add_merger_option,
    add_truncation,
    assignment,
    merger_options,
)
from lorarar.mergers import CATALOGUE

if TYPE_CHECKING:
    from lorarar.mergers import MergeRequest, PairInputs


def add(commands: Commands) -> None:
    """Add `merge`."""
    merge = commands.add_parser("merge", help="merge LoRA files into one ordinary LoRA file")
    merge.add_argument("files", type=Path, nargs="+", metavar="FILE", help="CONTENT STYLE, or any number of LoRA files")
    merge.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    _add_method(merge)
    _add_weights(merge)
    add_truncation(merge)
    merge.add_argument(
        "--base",
        metavar="MODEL",
        help="base model, for DoRA, IA3, OFT and GLoRA files and for mergers that optimise each pair; default: none",
    )
    _add_pair(merge)
    add_file_format(merge)
    add_device(merge)
    merge.add_argument(
        "--save-coefficients",
        type=Path,
        metavar="FILE",
        help="safetensors file for every coefficient; default: they are not saved",
    )
    add_json(merge)
    add_force(merge)
    merge.set_defaults(run=_merge)


def _add_method(merge: argparse.ArgumentParser) -> None:
    merge.add_argument(
        "--merger",
        choices=list(CATALOGUE),
        metavar="NAME",
        help="method, see `lorarar mergers`; default: the network that is shipped for the files' family, else direct",
    )
    merge.add_argument(
        "--hypernetwork",
        metavar="NETWORK",
        help="trained merger: a file, a folder that save_pretrained wrote, or a hub id (owner/name); default: the one "
        "that is shipped for the files' family",
    )
    merge.add_argument(
        "--kinds",
        nargs="+",
        choices=["content", "style"],
        metavar="KIND",
        help="kind of each file, for networks that take any number of files; default: what the files state, else the "
        "first is the content",
    )
    add_merger_option(merge)


def _add_weights(merge: argparse.ArgumentParser) -> None:
    merge.add_argument("--weights", type=float, nargs="+", metavar="W", help="weight of each file; default: 1")
    merge.add_argument(
        "--block",
        action="append",
        default=[],
        metavar="PATH=W[,W..]",
        help="weight of a block, such as up_blocks.1, for all files or for each, repeatable; default: 1",
    )
    merge.add_argument(
        "--text-encoder",
        type=float,
        nargs="+",
        metavar="W",
        help="weight of the text encoders, for all files or for each; default: 1",
    )


def _add_pair(merge: argparse.ArgumentParser) -> None:
    names = ", ".join(name for name, info in CATALOGUE.items() if info.pair)
    pair = merge.add_argument_group(f"for mergers that optimise each pair on a base: {names}")
    for kind in ("content", "style"):
        pair.add_argument(f"--{kind}-images", type=Path, metavar="DIR", help=f"images of the {kind}; default: none")
        pair.add_argument(
            f"--{kind}-description",
            default="",
            metavar="TEXT",
            help=f"description of the {kind} that the base understands, for text_guided, which needs no images; "
            "default: none",
        )
        pair.add_argument(
            f"--{kind}-prompt",
            metavar="TEXT",
            help=f"prompt that the LoRA of the {kind} was trained with; default: the trigger words in its file",
        )
    pair.add_argument(
        "--init",
        metavar="NETWORK",
        help="trained merger, as for --hypernetwork, whose coefficients the optimisation starts from; default: 1",
    )
    pair.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        help="folder for checkpoints until the merge is written; default: the folder of the output",
    )


def _merge(arguments: argparse.Namespace) -> None:
    from lorarar.mergers import FileMerge, describe_merge, merge_files

    request = _request(arguments)
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


def _request(arguments: argparse.Namespace) -> MergeRequest:
    from lorarar.mergers import MergeRequest

    return MergeRequest(
        merger=arguments.merger,
        hypernetwork=arguments.hypernetwork,
        kinds=arguments.kinds,
        weights=arguments.weights,
        blocks={path: _numbers(text) for path, text in map(assignment, arguments.block)},
        text_encoder=arguments.text_encoder,
        options=merger_options(arguments),
        rank=arguments.rank,
        energy=arguments.energy,
        base=arguments.base,
        pair=_pair_inputs(arguments),
        device=arguments.device,
    )


def _pair_inputs(arguments: argparse.Namespace) -> PairInputs:
    from lorarar.mergers import PairInputs

    return PairInputs(
        content_images=arguments.content_images,
        style_images=arguments.style_images,
        content_prompt=arguments.content_prompt,
        style_prompt=arguments.style_prompt,
        content_description=arguments.content_description,
        style_description=arguments.style_description,
        init=arguments.init,
        runs=(arguments.runs or arguments.output.parent) / f"{arguments.output.stem}.run",
    )


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
