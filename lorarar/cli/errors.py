"""Errors: one line for each, with the names that the command line uses, and the exit code."""

from __future__ import annotations

import ast
import re
import sys
import traceback
from dataclasses import fields
from typing import Any

import typer
from typer.core import TyperArgument

from lorarar.cli.commands import Command
from lorarar.cli.configurations import Configured
from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.options import OUTPUT
from lorarar.cli.usage import flag, usage_message
from lorarar.storage import memory_advice, printable

_MISTAKES = (ValueError, OSError, KeyError, FloatingPointError)
# A Python argument in backticks, with or without a value: `force=True`, `base`.
_ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]+))?`")
_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
_AMOUNT = re.compile(r"tried to allocate ([\d.]+ \w+)", re.IGNORECASE)


def report(error: BaseException, command: Any, name: str, *, debug: bool) -> ExitCode:
    """Print an error as one line to stderr and return the exit code.

    Args:
        error: What ended the command.
        command: The command, whose options the message names.
        name: The command as it is typed, such as "lorarar merge".
        debug: Whether the traceback is printed too.

    Raises:
        BaseException: The error, if it is not one that a user can mend: a bug keeps its traceback.
    """
    code = exit_code(error)
    if code is None:
        raise error
    if debug:
        lines = "".join(traceback.format_exception(error)).splitlines()
        print("\n".join(map(printable, lines)), file=sys.stderr)
    message = "\n".join(map(printable, _message(error, code, command, name).splitlines()))
    print(f"lorarar: {message}", file=sys.stderr)
    return code


def exit_code(error: BaseException) -> ExitCode | None:
    """Return the exit code for an error, or None for a bug."""
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, typer.TyperException):
        return ExitCode.USAGE
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _MEMORY.search(str(error))):
        return ExitCode.OUT_OF_MEMORY
    if isinstance(error, ImportError):
        return None if (error.name or "lorarar").split(".")[0] == "lorarar" else ExitCode.MISSING
    if isinstance(error, ConnectionError):
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED if isinstance(error, _MISTAKES) else None


def _message(error: BaseException, code: ExitCode, command: Any, name: str) -> str:
    if isinstance(error, KeyboardInterrupt):
        kept = command.kept if isinstance(command, Command) else Command.kept
        return f"interrupted; {kept}"
    if isinstance(error, typer.TyperException):
        return usage_message(error, name)
    text = " ".join(_text(error).split())
    if code is ExitCode.OUT_OF_MEMORY:
        amount = _AMOUNT.search(text)
        # A MemoryError is of the main memory, which is no larger on another device.
        settings = [key for key in _memory_settings(command) if key != "device" or not isinstance(error, MemoryError)]
        tried = f", could not get {amount[1]}" if amount else ""
        return with_flags(f"out of memory{tried}: {memory_advice(settings)}", command)
    if code is ExitCode.MISSING and isinstance(error, ModuleNotFoundError):
        return f"expected the package {error.name}, found none: `lorarar doctor` says what installs it"
    return with_flags(text, command)


def _text(error: BaseException) -> str:
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _memory_settings(command: Any) -> list[str]:
    """Return the settings of the work: keys of the configuration, or options other than those of the output."""
    if isinstance(command, Configured):
        return [key.name for key in fields(type(command).schema())]
    return [name for name, option in _parameters(command).items() if option.rich_help_panel != OUTPUT]


def _parameters(command: Any) -> dict[str, Any]:
    """Return the options and arguments of a command by their Python names."""
    return {parameter.name.rstrip("_"): parameter for parameter in command.params}


def with_flags(text: str, command: Any) -> str:
    """Return a message in which the options of a command stand for Python arguments.

    Args:
        text: The message; Python arguments are in backticks: "use `force=True`, or `weights=[1, 0.5]`".
        command: The command. Names that it does not have as options stay as they are; a configured command takes
            them as key=value.

    Returns:
        "use --force, or --weights 1,0.5"
    """
    parameters = _parameters(command)

    def spelled(found: re.Match[str]) -> str:
        parameter = parameters.get(found[1])
        if parameter is None and isinstance(command, Configured) and found[2]:
            return f"{found[1]}={_typed(found[2])}"
        if parameter is None:
            return found[0]
        if found[2] is None or found[2] == "True" or isinstance(parameter, TyperArgument):
            return flag(parameter)
        return f"{flag(parameter)} {_typed(found[2])}"

    return _ARGUMENT.sub(spelled, text)


def _typed(value: str) -> str:
    """Return a Python value as the command line takes it: "1,0.5" for "[1, 0.5]"."""
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    if isinstance(found, dict):
        return " ".join(f"{name}={number}" for name, number in found.items())
    if isinstance(found, list | tuple):
        return ",".join(map(str, found))
    return str(found).lower() if isinstance(found, bool) else str(found)
