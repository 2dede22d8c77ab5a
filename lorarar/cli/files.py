"""Commands about files: inspect, convert, mergers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lorarar.cli.configurations import Commands


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers the commands."""
    _add_inspect(commands)
    _add_convert(commands)
    mergers = commands.add_parser("mergers", help="list the methods, what they need and where they come from")
    mergers.set_defaults(run=_mergers)


def _add_inspect(commands: Commands) -> None:  # type: ignore[type-arg]
    inspect = commands.add_parser("inspect", help="say what a LoRA file holds, or where two of them collide")
    inspect.add_argument("file", type=Path, metavar="FILE")
    inspect.add_argument("--compare", type=Path, metavar="OTHER", help="a second file: where do the two collide?")
    inspect.add_argument(
        "--base", type=Path, metavar="MODEL", help="the base model, for DoRA, IA3, OFT and GLoRA files"
    )
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.set_defaults(run=_inspect)


def _add_convert(commands: Commands) -> None:  # type: ignore[type-arg]
    convert = commands.add_parser("convert", help="rewrite a LoRA file in another dialect, precision or rank")
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("-o", "--output", type=Path, required=True)
    convert.add_argument(
        "--format", choices=["kohya", "diffusers", "peft"], help="default: what the family's tools read"
    )
    convert.add_argument("--dtype", choices=["fp16", "bf16", "fp32"], default="fp16")
    size = convert.add_mutually_exclusive_group()
    size.add_argument("--rank", type=int, help="truncate every layer to this rank")
    size.add_argument("--energy", type=float, help="truncate to the rank that keeps this share of the squared norm")
    convert.add_argument(
        "--base", type=Path, metavar="MODEL", help="the base model, for DoRA, IA3, OFT and GLoRA files"
    )
    convert.add_argument("--force", action="store_true", help="replace existing files")
    convert.set_defaults(run=_convert)


def _inspect(arguments: argparse.Namespace) -> None:
    from lorarar.formats.inspection import compare_files, inspect

    report = (
        compare_files(arguments.file, arguments.compare, base=arguments.base)
        if arguments.compare
        else inspect(arguments.file, base=arguments.base)
    )
    print(json.dumps(report.to_dict(), indent=1) if arguments.json else report.text())


def _convert(arguments: argparse.Namespace) -> None:
    from lorarar.formats import convert_file

    made = convert_file(
        arguments.file,
        arguments.output,
        format=arguments.format,
        dtype=arguments.dtype,
        rank=arguments.rank,
        energy=arguments.energy,
        base=arguments.base,
        force=arguments.force,
    )
    print(made.text())


def _mergers(_: argparse.Namespace) -> None:
    from lorarar.mergers import mergers_table

    print(mergers_table())
