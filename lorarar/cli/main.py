"""Command line: parse, call one core function, print what it returns."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from lorarar.cli.help import Parser
from lorarar.storage import old_arguments

# Each module adds its commands with `add`. A command imports what it needs when it runs, so that help is fast.
_MODULES = ("merge", "files", "images", "training", "judge", "metrics", "world", "benchmark")
_ERRORS = (ValueError, OSError, KeyError, FloatingPointError)
_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake ends with a message and exit code 1, not with a traceback.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit code: the one that the command returned, else 0; 2 for an old name of a command, an option or a merger.
    """
    argv = sys.argv[1:] if argv is None else argv
    for old, new in old_arguments(argv):
        print(f"lorarar: expected {new}, found its old name {old}: use the new name", file=sys.stderr)
        return _USAGE
    arguments = parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the program that reads the output has closed it: `lorarar inspect .. | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _ERRORS as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"lorarar: {message}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = Parser(prog="lorarar", description="Merge content and style LoRAs by a hypernetwork.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in _MODULES:
        import_module(f"lorarar.cli.{module}").add(commands)
    return top


def entry() -> None:
    """Run the console script."""
    # At import transformers announces that torchvision is missing, which nothing here needs.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    sys.exit(main())
