"""Words of the form NAME=NUMBER."""

from __future__ import annotations

import argparse


def add_option(command: argparse.ArgumentParser) -> None:
    """Adds --option NAME=NUMBER, any number of them."""
    command.add_argument(
        "--option", action="append", default=[], metavar="NAME=NUMBER", help="the merger's own settings"
    )


def options(arguments: argparse.Namespace) -> dict[str, float]:
    """What --option gave.

    Raises:
        ValueError: A word is no NAME=NUMBER.
    """
    return {name: float(text) for name, text in map(assignment, arguments.option)}


def assignment(text: str) -> tuple[str, str]:
    """Name and value of NAME=VALUE.

    Raises:
        ValueError: There is no "=".
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"expected NAME=NUMBER, found {text!r}")
    return name, value
