"""Command line: the group of all commands, and the way from an error to an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command

from lorarar.cli.commands import GENERAL, new_app
from lorarar.cli.errors import report
from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.options import FLAG
from lorarar.storage import old_arguments, scoped_plugins

# Each module adds its commands with `add`. A command imports what it needs when it runs, so that help is fast.
_MODULES = (
    "merge",
    "choosing",
    "files",
    "verify",
    "studio",
    "library",
    "images",
    "analogy",
    "judge",
    "score",
    "data",
    "training",
    "metrics",
    "world",
    "benchmark",
    "configs",
    "doctor",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake ends with a message of one line, not with a traceback.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        The exit code that the command returned, else one of `ExitCode`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for old, new in old_arguments(words):
        print(f"lorarar: expected {new}, found its old name {old}: use the new name", file=sys.stderr)
        return ExitCode.USAGE
    group = commands()
    try:
        with scoped_plugins(), group.make_context("lorarar", list(words)) as context:
            code: int = group.invoke(context) or ExitCode.SUCCESS
        sys.stdout.flush()
    except typer.Exit as ended:
        return ended.exit_code
    except BrokenPipeError:  # the program that reads the output has closed it: `lorarar inspect .. | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except SystemExit as ended:
        if not isinstance(ended.__context__, KeyboardInterrupt):  # after which Lightning leaves the process
            raise
        return report(ended.__context__, *find_command(words), debug="--debug" in words)
    except (Exception, KeyboardInterrupt) as error:
        return report(error, *find_command(words), debug="--debug" in words)
    return code


@cache
def commands() -> Any:
    """Return the group of all commands."""
    codes = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode)
    app = new_app(
        help="Merge content and style LoRAs for text-to-image models by a trained network, and score the images.",
        epilog=f"`lorarar COMMAND --help` describes a command.\n\nExit codes: {codes}.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_top)
    for module in _MODULES:
        import_module(f"lorarar.cli.{module}").add(app)
    return get_command(app)


def find_command(words: Sequence[str]) -> tuple[Any, str]:
    """Return the command that a command line names, and its full name, such as "lorarar judge plan"."""
    found, name = commands(), "lorarar"
    for word in words:
        inner = getattr(found, "commands", {}).get(word)
        if inner is not None:
            found, name = inner, f"{name} {word}"
    return found, name


def _top(
    version: Annotated[
        bool, typer.Option("--version", metavar=FLAG, help="Print the version.", rich_help_panel=GENERAL)
    ] = False,
) -> None:
    from lorarar.storage import lorarar_version

    if version:
        print(f"lorarar {lorarar_version()}")
        raise typer.Exit


def entry() -> None:
    """Run the console script."""
    from lorarar.storage import quiet_libraries

    quiet_libraries()
    sys.exit(main())
