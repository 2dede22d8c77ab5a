"""Attributes that a prompt changes: what an image for the prompt should show."""

from __future__ import annotations

from dataclasses import replace

from lorarar.worlds.toy.attributes import (
    CATEGORIES,
    HUES,
    MARK_COLOURS,
    MARKS,
    OUTLINES,
    PATTERNS,
    SHADINGS,
    TONES,
    Member,
    Style,
    Subject,
)

_SUBJECT = {"category": CATEGORIES, "hue": HUES, "mark": MARKS, "mark_colour": MARK_COLOURS}
_STYLE = {"pattern": PATTERNS, "tone": TONES, "outline": OUTLINES, "shading": SHADINGS}


def apply_prompt(subject: Subject, style: Style, prompt: str) -> tuple[Subject, Style]:
    """Return the subject and the style with those attributes changed that the prompt names.

    Words before the last " in " concern the subject, words after it the style: "a sks cat with black dots in checks szn
    style" stands for the concept's cat with black dots, and for the style's tone, outline and shading on a background
    of checks. A subject that the prompt describes in full replaces the concept's.
    """
    before, joined, after = prompt.rpartition(" in ")
    subject_words, style_words = (before, after) if joined else (prompt, prompt)
    return _change(subject, _SUBJECT, subject_words), _change(style, _STYLE, style_words)


def _change(member: Member, attributes: dict[str, tuple[str, ...]], words: str) -> Member:
    spaced = f" {words} "
    changes: dict[str, int] = {}
    for attribute, values in attributes.items():
        for index, value in enumerate(values):
            if f" {value} " in spaced:
                changes[attribute] = index
    return replace(member, **changes)
