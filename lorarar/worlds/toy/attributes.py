"""Attributes of a toy subject and of a toy style, and their words.

A subject has four attributes, and a style has four. Every attribute is visible in an image whatever the others are: a
style hides nothing of a subject.
"""

from __future__ import annotations

import itertools
from dataclasses import astuple, dataclass, fields
from typing import TypeVar

HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
CATEGORIES = ("cat", "fish", "house", "tree", "mug", "car", "star", "heart")
MARKS = ("stripes", "dots", "band", "half", "cross")
MARK_COLOURS = ("white", "black", "inverse")
PATTERNS = ("plain", "grid", "diagonal", "checks", "rings")
TONES = tuple(f"{level} {hue}" for level in ("light", "deep") for hue in HUES)
OUTLINES = ("bare", "inked", "haloed", "framed")
SHADINGS = ("flat", "shaded")


@dataclass(frozen=True, order=True)
class Subject:
    """A content: a silhouette of one colour with a mark on it. Each field is an index into its values."""

    category: int
    hue: int
    mark: int
    mark_colour: int

    def words(self) -> str:
        """Return the description for a caption, such as "red cat with white stripes"."""
        return f"{HUES[self.hue]} {CATEGORIES[self.category]} with {MARK_COLOURS[self.mark_colour]} {MARKS[self.mark]}"


@dataclass(frozen=True, order=True)
class Style:
    """A style: pattern and tone of the background, outline and shading of the subject. Fields are indices."""

    pattern: int
    tone: int
    outline: int
    shading: int

    def words(self) -> str:
        """Return the description for a caption, such as "light blue grid inked flat"."""
        return f"{TONES[self.tone]} {PATTERNS[self.pattern]} {OUTLINES[self.outline]} {SHADINGS[self.shading]}"


Member = TypeVar("Member", Subject, Style)

# Attribute -> number of its values.
CONTENT_ATTRIBUTES = {
    "category": len(CATEGORIES),
    "hue": len(HUES),
    "mark": len(MARKS),
    "mark_colour": len(MARK_COLOURS),
}
STYLE_ATTRIBUTES = {
    "pattern": len(PATTERNS),
    "tone": len(TONES),
    "outline": len(OUTLINES),
    "shading": len(SHADINGS),
}
ATTRIBUTES = CONTENT_ATTRIBUTES | STYLE_ATTRIBUTES


def all_subjects() -> list[Subject]:
    """Return every subject of the world, in a fixed order."""
    return [Subject(*values) for values in itertools.product(*map(range, CONTENT_ATTRIBUTES.values()))]


def all_styles() -> list[Style]:
    """Return every style of the world, in a fixed order."""
    return [Style(*values) for values in itertools.product(*map(range, STYLE_ATTRIBUTES.values()))]


def neutral_looks() -> list[Style]:
    """Return the styles of content references: plain background, without an outline, flat."""
    return [style for style in all_styles() if (style.pattern, style.outline, style.shading) == (0, 0, 0)]


def truth(subject: Subject, style: Style) -> tuple[int, ...]:
    """Return the eight attribute values of an image, in the order of `ATTRIBUTES`."""
    return astuple(subject) + astuple(style)


# The order of the fields and of the attributes must agree: `truth` relies on it.
assert [field.name for field in fields(Subject)] == list(CONTENT_ATTRIBUTES)
assert [field.name for field in fields(Style)] == list(STYLE_ATTRIBUTES)
