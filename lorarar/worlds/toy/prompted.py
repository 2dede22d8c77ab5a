"""What an image for a prompt should show, when the prompt changes something of its concepts."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from lorarar.worlds.toy.attributes import (
    CATEGORIES,
    HUES,
    MARK_COLOURS,
    MARKS,
    OUTLINES,
    PATTERNS,
    SHADINGS,
    TONES,
    Style,
    Subject,
)

T = TypeVar("T", Subject, Style)

_SUBJECT = {"category": CATEGORIES, "hue": HUES, "mark": MARKS, "mark_colour": MARK_COLOURS}
_STYLE = {"pattern": PATTERNS, "tone": TONES, "outline": OUTLINES, "shading": SHADINGS}


def apply_prompt(subject: Subject, style: Style, prompt: str) -> tuple[Subject, Style]:
    """The subject and the style with whatever the prompt names of their attributes.

    Words before the last " in " are about the subject, those after it about the style:
    "a sks cat with black dots in checks szn style" asks for black dots on the concept's cat and for the style's tone,
    outline and shading on a ground of checks. A subject that is described in full takes the concept's place.
    """
    before, joined, after = prompt.rpartition(" in ")
    shown, look = (before, after) if joined else (prompt, prompt)
    return _changed(subject, _SUBJECT, shown), _changed(style, _STYLE, look)


def _changed(member: T, attributes: dict[str, tuple[str, ...]], words: str) -> T:
    spaced = f" {words} "
    named = {
        attribute: index
        for attribute, values in attributes.items()
        for index, value in enumerate(values)
        if f" {value} " in spaced
    }
    return replace(member, **named)
