"""Usage errors: what is wrong with a command line, in one line, with the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption


def usage_message(error: typer.TyperException, command: str) -> str:
    """Return the message for a command line that typer refuses.

    Args:
        error: The refusal. typer has no public names for its kinds, so they are told apart by the name of the class.
        command: The command as it is typed, such as "lorarar merge".
    """
    found = vars(error)
    match type(error).__name__:
        case "NoSuchOption":
            close = found.get("possibilities") or []
            hint = f"did you mean {close[0]}?" if close else f"`{command} --help` lists them"
            return f"expected an option of `{command}`, found {found['option_name']}: {hint}"
        case "BadOptionUsage":
            return f"expected a value after {found['option_name']}, found none: `{command} --help` describes it"
        case "MissingParameter":
            return f"expected {spelling(found['param'])}, found none: `{command} --help` describes it"
    if isinstance(error, typer.BadParameter) and error.param is not None:
        return f"{flag(error.param)}: {error.message.removeprefix('Value error, ')}"
    return error.message


def spelling(parameter: Any) -> str:
    """Return how a parameter is typed, with the placeholder for its value: "-o/--output FILE"."""
    placeholder: str = parameter.metavar or parameter.name.upper()
    if isinstance(parameter, TyperArgument):
        return placeholder
    return f"{'/'.join(parameter.opts)} {placeholder}"


def flag(parameter: Any) -> str:
    """Return the name by which messages call a parameter: "--output", or "FILE" for an argument."""
    name: str = parameter.metavar or parameter.name
    return name if isinstance(parameter, TyperArgument) else str(max(parameter.opts, key=len))


def separated_values(
    command: TyperCommand, words: Sequence[str], lists: Mapping[str, Callable[[str], bool]]
) -> str | None:
    """Return a message if the values of a comma-separated list are separate words, as in `--weights 1 0.5`.

    Args:
        command: The command whose words these are.
        words: The command line after the command.
        lists: For each option whose value is a comma-separated list, whether a word can be an entry of it. A file of
            that name is taken for a file.
    """
    options = {name: option for option in command.params if isinstance(option, TyperOption) for name in option.opts}
    for i, name in enumerate(words):
        is_entry = lists.get(flag(options[name])) if name in options else None
        if is_entry is None:
            continue
        values = list(words[i + 1 : i + 2])
        for word in words[i + 2 :]:
            if not is_entry(word) or Path(word).exists():
                break
            values.append(word)
        if len(values) > 1:
            return f"expected {name} {','.join(values)}, found {name} {' '.join(values)}: put commas between the values"
    return None


def surplus_words(command: TyperCommand, name: str, words: Sequence[str], surplus: Sequence[str]) -> str:
    """Return the message for words that no argument of a command takes.

    Args:
        command: The command.
        name: The command as it is typed, such as "lorarar generate".
        words: The command line after the command.
        surplus: Its words that nothing takes.
    """
    before = words[: words.index(surplus[0])]
    for option in command.params:
        if isinstance(option, TyperOption) and option.multiple and len(before) > 1 and before[-2] in option.opts:
            values = [before[-1], *surplus]
            repeated = " ".join(f"{before[-2]} {value}" for value in values)
            return f"expected {repeated}, found {before[-2]} {' '.join(values)}: repeat {before[-2]} for each value"
    return f"expected no further words for `{name}`, found {' '.join(surplus)}: `{name} --help` lists its arguments"
