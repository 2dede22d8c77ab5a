"""Values: what the value of an option may be, and how it is read from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from lorarar.storage import loaded_plugins, unknown_name

Value = TypeVar("Value")

Format = Literal["kohya", "diffusers", "comfyui", "peft", "same"]
Dtype = Literal["fp16", "bf16", "fp32"]
FORMATS: tuple[str, ...] = get_args(Format)
DTYPES: tuple[str, ...] = get_args(Dtype)
KINDS = ("content", "style")


class Numbers(list[float]):
    """Numbers of a comma-separated list."""


class Seeds(list[int]):
    """Whole numbers of a comma-separated list."""


class Words(list[str]):
    """Words of a comma-separated list."""


class Conditions(dict[str, Any]):
    """Conditions on entries of the library by their names."""


class Setting(NamedTuple):
    """Value of --option NAME=NUMBER."""

    name: str
    value: float


class Block(NamedTuple):
    """Value of --block PATH=W[,W]."""

    path: str
    weights: Numbers


class Word(NamedTuple):
    """Value of --word FIELD=TEXT."""

    field: str
    text: str


class Part(NamedTuple):
    """One of several equal parts, counted from 0."""

    number: int
    total: int


def number(text: Any) -> float:
    """Return a number.

    Raises:
        ValueError: The text is not a number.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, found {text!r}: write it as 0.5") from None


def whole_number(text: Any) -> int:
    """Return a whole number.

    Raises:
        ValueError: The text is not a whole number.
    """
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"expected a whole number, found {text!r}: write it as 4") from None


def positive(text: Any) -> int:
    """Return a whole number of at least 1.

    Raises:
        ValueError: The text is no such number.
    """
    value = whole_number(text)
    if value < 1:
        raise ValueError(f"expected a whole number of at least 1, found {value}: give a larger one")
    return value


def share(text: Any) -> float:
    """Return a number above 0 and at most 1.

    Raises:
        ValueError: The text is no such number.
    """
    value = number(text)
    if not 0 < value <= 1:
        raise ValueError(f"expected a number above 0 and at most 1, found {text}: give a share such as 0.99")
    return value


def part(text: Any) -> Part:
    """Return the part of "2/4", the second of four.

    Raises:
        ValueError: The text has another form.
    """
    if isinstance(text, Part):
        return text
    number, _, count = str(text).partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise ValueError(f"expected I/N with I from 1 to N, found {text}: write 1/4 for the first of four shares")
    return Part(int(number) - 1, int(count))


def device(text: Any) -> str:
    """Return the name of a device, which this machine may have or not.

    Raises:
        ValueError: There is no such device on any machine.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(text)):
        raise ValueError(f"expected a device among auto, cpu, cuda, cuda:1, mps, found {text!r}: name one of these")
    return str(text)


def numbers(text: Any) -> Numbers:
    """Return the numbers of a comma-separated list.

    Raises:
        ValueError: An entry is not a number.
    """
    return Numbers(_entries(text, number, "0.8,1"))


def seeds(text: Any) -> Seeds:
    """Return the whole numbers of a comma-separated list.

    Raises:
        ValueError: An entry is not a whole number.
    """
    return Seeds(_entries(text, whole_number, "0,1,2"))


def _entries(text: str | Sequence[Value], convert: Callable[[Any], Value], example: str) -> list[Value]:
    entries: Sequence[Any] = text.split(",") if isinstance(text, str) else text
    try:
        return [convert(entry) for entry in entries]
    except ValueError as error:
        raise ValueError(f"{str(error).partition(':')[0]} in {text!r}: write the list as {example}") from None


def choice(expected: str, *names: str) -> Callable[[Any], Any]:
    """Return a function that refuses all but these names.

    Args:
        expected: What the names are, with an article: "a precision".
        names: The names.
    """

    def checked(text: Any) -> str:
        if text not in names:
            message = unknown_name(expected, str(text), names)
            raise ValueError(message if message.endswith("?") else f"{message}: name one of these")
        return str(text)

    return checked


def file_format(text: Any) -> str:
    """Return the name of a format that is written: one of the package, or one of a plugin.

    Raises:
        ValueError: There is none of the name.
    """
    names = list(FORMATS)
    if text not in names and loaded_plugins():
        from lorarar.formats.dialects import DIALECTS  # not above: it imports torch

        names += [dialect.name for dialect in DIALECTS.added() if dialect.write]
    return str(choice("a format", *names)(text))


def kinds(text: Any) -> Words:
    """Return the kinds of a comma-separated list, each "content" or "style".

    Raises:
        ValueError: An entry is not a kind.
    """
    entries = text.split(",") if isinstance(text, str) else text
    return Words(choice("a kind", *KINDS)(entry) for entry in entries)


def merger_name(text: Any) -> str:
    """Return the name of a merger.

    Raises:
        ValueError: There is no merger of this name.
    """
    from lorarar.mergers import find_merger

    return find_merger(str(text)).name


def setting(text: Any) -> Setting:
    """Return name and number of NAME=NUMBER.

    Raises:
        ValueError: The text is not of this form.
    """
    name, value = _assignment(text, "NAME=NUMBER")
    try:
        return Setting(name, number(value))
    except ValueError:
        raise ValueError(f"expected a number for {name}, found {value!r}: write it as {name}=0.5") from None


def block(text: Any) -> Block:
    """Return path and weights of PATH=W or PATH=W,W.

    Raises:
        ValueError: The text is not of this form.
    """
    path, weights = _assignment(text, "PATH=W")
    return Block(path, numbers(weights))


def word(text: Any) -> Word:
    """Return field and text of FIELD=TEXT.

    Raises:
        ValueError: The text is not of this form.
    """
    return Word(*_assignment(text, "FIELD=TEXT"))


def conditions(text: Any) -> Conditions:
    """Return the conditions of FIELD=VALUE,FIELD=VALUE.

    Raises:
        ValueError: A field is unknown, or its value cannot be.
    """
    fields: Mapping[str, Callable[[str], Any]] = {"family": str, "kind": choice("a kind", *KINDS), "rank": positive}
    pairs = [_assignment(part, "FIELD=VALUE") for part in text.split(",")] if isinstance(text, str) else text.items()
    for field, _ in pairs:
        if field not in fields:
            raise ValueError(unknown_name("a condition", field, fields))
    return Conditions({field: fields[field](value) for field, value in pairs})


def _assignment(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise ValueError(f"expected {form}, found {text!r}: put = between the two")
    return name, value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# Options whose value is a comma-separated list -> whether a word can be an entry of it.
COMMA_LISTS: Mapping[str, Callable[[str], bool]] = {
    "--weights": _is_number,
    "--text-encoder": _is_number,
    "--seeds": _is_number,
    "--shares": _is_number,
    "--kinds": lambda text: text in KINDS,
}


def settings(options: Sequence[Setting] | None) -> dict[str, float]:
    """Return the values of --option by name."""
    return dict(options or ())


def grouped(words: Sequence[Word]) -> dict[str, list[str]]:
    """Return the texts of --word by field."""
    texts: dict[str, list[str]] = {}
    for field, text in words:
        texts.setdefault(field, []).append(text)
    return texts
