"""Types of settings: paths that must exist, numbers with a lower bound, and each type in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lorarar.storage.plugins import Table


@dataclass(frozen=True)
class AtLeast:
    """Lower bound of a number; `above` excludes the bound itself."""

    bound: float
    above: bool = False

    def allows(self, value: float) -> bool:
        """Tell whether a number respects the bound."""
        return value > self.bound if self.above else value >= self.bound

    def __str__(self) -> str:
        return f"above {self.bound:g}" if self.above else f"of at least {self.bound:g}"


@dataclass(frozen=True)
class Existing:
    """What a path must lead to before the command starts; `hub` allows a hub id in its place."""

    hub: bool = False


@dataclass(frozen=True, eq=False)
class NameIn:
    """A table that must have the name, among the package's rows or those of a plugin."""

    table: Table[Any]


# Fields of configurations are declared with these; OmegaConf and mypy see the type alone.
InputPath = Annotated[Path, Existing()]
ModelName = Annotated[str, Existing(hub=True)]
PositiveInt = Annotated[int, AtLeast(1)]
NonNegativeInt = Annotated[int, AtLeast(0)]
PositiveFloat = Annotated[float, AtLeast(0, above=True)]
NonNegativeFloat = Annotated[float, AtLeast(0)]

_NOUNS = {int: "whole number", float: "number", str: "text", Path: "path"}


def marked(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its marks, and the marks: instances of `AtLeast`, `Existing` and `NameIn`."""
    if get_origin(hint) is Annotated:
        return hint.__origin__, hint.__metadata__
    return hint, ()


def without_none(hint: Any) -> Any:
    """Return X for `X | None`, and any other type as it is."""
    inner = [part for part in get_args(hint) if part is not NoneType]
    return inner[0] if get_origin(hint) in (Union, UnionType) and len(inner) == 1 else hint


def leaves(hint: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each plain value inside a value, with its declared type: the entries of a list, or the value itself."""
    inner = without_none(hint)
    if get_origin(inner) in (tuple, list) and isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(get_args(inner)[0], part)
    elif value is not None:
        yield inner, value


def describe_type(hint: Any) -> str:
    """Return a type in plain words, such as "list of whole numbers" or "path or null".

    Args:
        hint: A type that a configuration's dataclass may declare.
    """
    inner = without_none(hint)
    return _words(inner, "") + (" or null" if inner is not hint else "")


def typed(hint: Any) -> str:
    """Return a type in plain words with its article, for the middle of a sentence."""
    words = describe_type(hint)
    if words.startswith(("one of", "true or", "text")):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _words(hint: Any, plural: str) -> str:
    """Return the words for a type; `plural` is "s" where it stands in a list."""
    plain, marks = marked(hint)
    origin, arguments = get_origin(plain), get_args(plain)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (tuple, list):
        return f"list{plural} of {_entries(arguments)}"
    if is_dataclass(plain) or origin is dict or plain is dict:
        return f"mapping{plural}"
    if any(isinstance(mark, Existing) for mark in marks):
        return _existing(marks[0], plural)
    if marks and isinstance(marks[0], NameIn):
        return f"one of {', '.join(marks[0].table.own())} or of a plugin"
    bounds = "".join(f" {mark}" for mark in marks)
    return "true or false" if plain is bool else f"{_NOUNS.get(plain, 'value')}{plural}{bounds}"


def _entries(arguments: tuple[Any, ...]) -> str:
    """Return "numbers" for a list of any length, "2 numbers" for one of two."""
    count = "" if len(arguments) == 1 or arguments[-1] is Ellipsis else f"{len(arguments)} "
    return count + _words(arguments[0], "s")


def _existing(mark: Existing, plural: str) -> str:
    return f"model{plural}" if mark.hub else f"existing path{plural}"
