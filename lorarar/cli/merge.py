"""The command that merges."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lorarar.cli.configured import Commands
from lorarar.cli.options import add_option, assignment, options
from lorarar.mergers import MERGERS


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers `merge`."""
    merge = commands.add_parser("merge", help="merge LoRA files into one ordinary LoRA file")
    merge.add_argument("files", type=Path, nargs="+", metavar="FILE", help="CONTENT STYLE, or any number of LoRA files")
    merge.add_argument("-o", "--output", type=Path, required=True)
    merge.add_argument("--merger", choices=list(MERGERS), metavar="NAME", help="see `lorarar mergers`")
    merge.add_argument("--hypernetwork", type=Path, metavar="PATH", help="a trained merger's file")
    merge.add_argument("--weights", type=float, nargs="+", metavar="W", help="one for each file")
    merge.add_argument(
        "--block", action="append", default=[], metavar="PATH=W[,W..]", help="strength of a block, such as up_blocks.1"
    )
    merge.add_argument("--text-encoder", type=float, nargs="+", metavar="W", help="strength of the text encoders")
    add_option(merge)
    size = merge.add_mutually_exclusive_group()
    size.add_argument("--rank", type=int, help="truncate every layer to this rank")
    size.add_argument("--energy", type=float, help="truncate to the rank that keeps this share of the squared norm")
    merge.add_argument("--base", type=Path, metavar="MODEL", help="the base model, for DoRA, IA3, OFT and GLoRA files")
    merge.add_argument("--format", choices=["kohya", "diffusers", "peft"], help="default: what the family's tools read")
    merge.add_argument("--dtype", choices=["fp16", "bf16", "fp32"], default="fp16")
    merge.add_argument("--device", default="cpu")
    merge.add_argument("--save-coefficients", type=Path, metavar="FILE", help="every coefficient, as safetensors")
    merge.add_argument("--json", action="store_true", help="print the summary as JSON")
    merge.add_argument("--force", action="store_true", help="replace existing files")
    merge.set_defaults(run=_merge)


def _merge(arguments: argparse.Namespace) -> None:
    from lorarar.files import describe, merge_files

    summary = merge_files(
        arguments.files,
        arguments.output,
        merger=arguments.merger,
        hypernetwork=arguments.hypernetwork,
        weights=arguments.weights,
        blocks={name: _numbers(text) for name, text in map(assignment, arguments.block)},
        text_encoder=arguments.text_encoder,
        options=options(arguments),
        rank=arguments.rank,
        energy=arguments.energy,
        base=arguments.base,
        format=arguments.format,
        dtype=arguments.dtype,
        device=arguments.device,
        save_coefficients=arguments.save_coefficients,
        force=arguments.force,
    )
    print(json.dumps(summary, indent=1) if arguments.json else describe(summary))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
