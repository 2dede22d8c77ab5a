"""The command line: parse, call one core function, print what it made."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

# Each module registers its commands with `add`; what a command needs is imported when it runs.
_MODULES = ("merge", "files", "images", "training", "judge", "metrics", "world", "benchmark")
_ERRORS = (ValueError, OSError, KeyError, FloatingPointError)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake ends with a message and exit code 1, not with a traceback.

    Returns:
        The exit code: what the command returned, else 0.
    """
    arguments = parser().parse_args(words)
    try:
        code: int = arguments.run(arguments) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who read the output has seen enough: `lorarar inspect .. | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _ERRORS as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"lorarar: {message}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(prog="lorarar", description="Merge content and style LoRAs by a hypernetwork.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in _MODULES:
        import_module(f"lorarar.cli.{module}").add(commands)
    return top


def entry() -> None:
    """The console script. transformers announces at import that torchvision is missing: nothing here needs it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    sys.exit(main())
