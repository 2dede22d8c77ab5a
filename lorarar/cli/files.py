"""File commands: inspect, convert, mergers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lorarar.cli.configurations import Commands
from lorarar.cli.options import add_base_weights, add_file_format, add_force, add_json, add_truncation


def add(commands: Commands) -> None:
    """Add `inspect`, `convert` and `mergers`."""
    _add_inspect(commands)
    _add_convert(commands)
    mergers = commands.add_parser("mergers", help="list the methods, their needs, options and citations")
    mergers.set_defaults(run=_mergers)


def _add_inspect(commands: Commands) -> None:
    inspect = commands.add_parser("inspect", help="show the content of a LoRA file, or where two files collide")
    inspect.add_argument("file", type=Path, metavar="FILE", help="LoRA file")
    inspect.add_argument(
        "--compare", type=Path, metavar="OTHER", help="second file, for where the two collide; default: none"
    )
    add_base_weights(inspect)
    add_json(inspect)
    inspect.set_defaults(run=_inspect)


def _add_convert(commands: Commands) -> None:
    convert = commands.add_parser("convert", help="rewrite a LoRA file in another dialect, precision or rank")
    convert.add_argument("file", type=Path, metavar="FILE", help="LoRA file")
    convert.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    add_file_format(convert)
    add_truncation(convert)
    add_base_weights(convert)
    add_force(convert)
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

    conversion = convert_file(
        arguments.file,
        arguments.output,
        format=arguments.format,
        dtype=arguments.dtype,
        rank=arguments.rank,
        energy=arguments.energy,
        base=arguments.base,
        force=arguments.force,
    )
    print(conversion.text())


def _mergers(_: argparse.Namespace) -> None:
    from lorarar.mergers import mergers_table

    print(mergers_table())
