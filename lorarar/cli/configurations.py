"""Configured commands: their settings are a YAML file and key=value arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

# The type of argparse's sub-commands has no public name, and it takes parameters only for the type checker.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run = Callable[[argparse.Namespace], int | None]


def add_configured(commands: Commands, name: str, run: Run, text: str) -> argparse.ArgumentParser:
    """Add a command NAME CONFIG [key=value ..] and return its parser."""
    command = commands.add_parser(name, help=text)
    command.add_argument("config", type=Path, help="YAML file, see configs/")
    command.add_argument("overrides", nargs="*", metavar="key=value", help="settings in place of those of the file")
    command.set_defaults(run=run)
    return command
