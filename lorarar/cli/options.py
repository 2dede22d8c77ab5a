"""Options: arguments that several commands share, and arguments of the form NAME=VALUE."""

from __future__ import annotations

import argparse
from pathlib import Path

_FORMATS = ["kohya", "diffusers", "peft"]
_PRECISIONS = ["fp16", "bf16", "fp32"]


def add_merger_option(command: argparse.ArgumentParser) -> None:
    """Add --option NAME=NUMBER, which may be repeated."""
    command.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="setting of the merger, repeatable; default: those of `lorarar mergers`",
    )


def add_truncation(command: argparse.ArgumentParser) -> None:
    """Add --rank and --energy, of which one may be given."""
    size = command.add_mutually_exclusive_group()
    size.add_argument("--rank", type=int, help="truncate every layer to this rank; default: keep the full rank")
    size.add_argument(
        "--energy",
        type=float,
        help="truncate to the rank that keeps this share of the squared norm; default: keep the full rank",
    )


def add_file_format(command: argparse.ArgumentParser) -> None:
    """Add --format and --dtype of a LoRA file that is written."""
    command.add_argument(
        "--format", choices=_FORMATS, help="dialect of the file; default: the one that the family's tools read"
    )
    add_dtype(command, "fp16", "precision of the weights in the file")


def add_dtype(command: argparse.ArgumentParser, default: str, text: str) -> None:
    """Add --dtype."""
    command.add_argument("--dtype", choices=_PRECISIONS, default=default, help=text)


def add_base_weights(command: argparse.ArgumentParser) -> None:
    """Add --base for files whose deltas depend on the weights of the base model."""
    command.add_argument(
        "--base", type=Path, metavar="MODEL", help="base model, for DoRA, IA3, OFT and GLoRA files; default: none"
    )


def add_device(command: argparse.ArgumentParser) -> None:
    """Add --device."""
    command.add_argument("--device", default="cpu", help="device to compute on, cpu or cuda")


def add_force(command: argparse.ArgumentParser) -> None:
    """Add --force."""
    command.add_argument("--force", action="store_true", help="replace existing files")


def add_json(command: argparse.ArgumentParser) -> None:
    """Add --json."""
    command.add_argument("--json", action="store_true", help="print JSON")


def merger_options(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the values of --option by name.

    Raises:
        ValueError: A value is not of the form NAME=NUMBER.
    """
    return {name: float(number) for name, number in map(assignment, arguments.option)}


def assignment(text: str) -> tuple[str, str]:
    """Return name and value of NAME=VALUE.

    Raises:
        ValueError: The text has no "=".
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"expected NAME=VALUE, found {text!r}: put a = between name and value")
    return name, value
