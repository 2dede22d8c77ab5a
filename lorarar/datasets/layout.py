"""Layout of a folder of images: a pattern such as "{method}/{content}+{style}/{seed}.png"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LAYOUT_FIELDS = ("method", "content", "style", "seed", "prompt_type")
PROMPT_TYPES = ("combined", "train", "trigger", "alter", "style")
_REQUIRED = ("content", "style")
# The text that a field matches without a list of names.
_FREE = {field: re.compile(r"[^/]+") for field in LAYOUT_FIELDS} | {"seed": re.compile(r"[0-9]{1,18}")}


class Piece(NamedTuple):
    """A part of a pattern: literal text, or a field."""

    text: str
    is_field: bool


@dataclass(frozen=True)
class PathLayout:
    """A pattern that must match a whole relative path.

    Attributes:
        names: The values of content, style and prompt_type; other fields match any text without a slash.
    """

    pieces: tuple[Piece, ...]
    names: Mapping[str, Sequence[str]]

    def readings(self, path: str) -> list[dict[str, str]]:
        """Return every way to read a path as values of fields; several ways mean that the path is ambiguous."""
        unique = {tuple(sorted(values.items())): values for values in self._read(path, 0, {})}
        return list(unique.values())

    def _read(self, rest: str, index: int, values: dict[str, str]) -> Iterator[dict[str, str]]:
        """Yield the values of all fields, given those of the pieces before `index` and the rest of the path."""
        if index == len(self.pieces):
            if not rest:
                yield values
            return
        piece = self.pieces[index]
        for text in self._matches(piece, rest, values):
            extended = values | {piece.text: text} if piece.is_field else values
            yield from self._read(rest[len(text) :], index + 1, extended)

    def _matches(self, piece: Piece, rest: str, values: Mapping[str, str]) -> Iterator[str]:
        """Yield the texts at the start of the rest that a piece matches; a repeated field must repeat its value."""
        if not piece.is_field or piece.text in values:
            fixed = values[piece.text] if piece.is_field else piece.text
            if rest.startswith(fixed):
                yield fixed
        elif piece.text in self.names:
            yield from (name for name in self.names[piece.text] if rest.startswith(name))
        elif match := _FREE[piece.text].match(rest):
            yield from (rest[:end] for end in range(1, match.end() + 1))


def parse_layout(pattern: str, names: Mapping[str, Sequence[str]]) -> PathLayout:
    """Parse a pattern.

    Args:
        names: The values of fields, see `PathLayout`.

    Raises:
        ValueError: A field is unknown, or content or style is missing.
    """
    parts = re.split(r"\{(\w*)\}", pattern)
    pieces = tuple(Piece(text, bool(i % 2)) for i, text in enumerate(parts) if text or i % 2)
    fields = [piece.text for piece in pieces if piece.is_field]
    unknown = [field for field in fields if field not in LAYOUT_FIELDS]
    literal = "".join(parts[::2])
    if unknown or "{" in literal or "}" in literal:
        problem = unknown or "an unpaired brace"
        raise ValueError(f"{pattern}: expected fields of {list(LAYOUT_FIELDS)} in braces, found {problem}")
    if missing := [field for field in _REQUIRED if field not in fields]:
        raise ValueError(f"{pattern}: expected {{content}} and {{style}}, found no {missing}")
    return PathLayout(pieces, {"prompt_type": PROMPT_TYPES, **names})
