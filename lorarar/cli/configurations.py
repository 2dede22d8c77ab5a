"""Commands whose settings are a YAML file and key=value words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Commands = argparse._SubParsersAction  # its type has no public name
Run = Callable[[argparse.Namespace], int | None]


def add_configured(commands: Commands, name: str, run: Run, text: str) -> argparse.ArgumentParser:  # type: ignore[type-arg]
    """Adds and returns a command NAME CONFIG [key=value ..]."""
    command = commands.add_parser(name, help=text)
    command.add_argument("config", type=Path, help="a YAML file, see configs/")
    command.add_argument("overrides", nargs="*", metavar="key=value")
    command.set_defaults(run=run)
    return command
