"""The layout of a folder of images: a pattern such as "{method}/{content}+{style}/{seed}.png"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LAYOUT_FIELDS = ("method", "content", "style", "seed", "prompt_type")
PROMPT_TYPES = ("combined", "train", "trigger", "alter", "style")
_REQUIRED = ("content", "style")
# What a field may be where no list of names is given.
_FREE = {field: re.compile(r"[^/]+") for field in LAYOUT_FIELDS} | {"seed": re.compile(r"[0-9]{1,18}")}


class Piece(NamedTuple):
    """A part of a pattern: literal text, or a field."""

    text: str
    is_field: bool


@dataclass(frozen=True)
class PathLayout:
    """A pattern that must match a whole relative path.

    Attributes:
        names: what a field may be, for content, style and prompt_type; other fields are any text without a slash.
    """

    pieces: tuple[Piece, ...]
    names: Mapping[str, Sequence[str]]

    def readings(self, path: str) -> list[dict[str, str]]:
        """Every way to read a path; more than one means that the path is ambiguous."""
        return list({tuple(sorted(found.items())): found for found in self._read(path, 0, {})}.values())

    def _read(self, rest: str, index: int, known: dict[str, str]) -> Iterator[dict[str, str]]:
        if index == len(self.pieces):
            if not rest:
                yield known
            return
        piece = self.pieces[index]
        for value in self._values(piece, rest, known):
            found = known | {piece.text: value} if piece.is_field else known
            yield from self._read(rest[len(value) :], index + 1, found)

    def _values(self, piece: Piece, rest: str, known: Mapping[str, str]) -> Iterator[str]:
        if not piece.is_field or piece.text in known:
            fixed = known[piece.text] if piece.is_field else piece.text
            if rest.startswith(fixed):
                yield fixed
        elif piece.text in self.names:
            yield from (name for name in self.names[piece.text] if rest.startswith(name))
        elif match := _FREE[piece.text].match(rest):
            yield from (rest[:end] for end in range(1, match.end() + 1))


def parse_layout(pattern: str, names: Mapping[str, Sequence[str]]) -> PathLayout:
    """Reads a pattern.

    Raises:
        ValueError: an unknown field, or no content or style.
    """
    parts = re.split(r"\{(\w*)\}", pattern)
    pieces = tuple(Piece(text, bool(i % 2)) for i, text in enumerate(parts) if text or i % 2)
    fields = [piece.text for piece in pieces if piece.is_field]
    wrong = [field for field in fields if field not in LAYOUT_FIELDS]
    if wrong or "{" in "".join(parts[::2]) or "}" in "".join(parts[::2]):
        raise ValueError(
            f"{pattern}: expected fields of {list(LAYOUT_FIELDS)} in braces, found {wrong or 'a loose brace'}"
        )
    if missing := [field for field in _REQUIRED if field not in fields]:
        raise ValueError(f"{pattern}: expected {{content}} and {{style}}, found no {missing}")
    return PathLayout(pieces, {"prompt_type": PROMPT_TYPES, **names})
