"""Vocabulary of the toy base: every word of the world."""

from __future__ import annotations

from lorarar.worlds.toy.attributes import CATEGORIES, all_styles, all_subjects
from lorarar.worlds.toy.world import CONTENT_TOKEN, STYLE_TOKEN, toy_world

LENGTH = 16  # tokens in a prompt, start and end included


def vocabulary_words() -> list[str]:
    """Return every word of captions and prompts, sorted."""
    words = {"a", "in", "style", CONTENT_TOKEN, STYLE_TOKEN, *CATEGORIES}
    descriptions = [subject.words() for subject in all_subjects()] + [style.words() for style in all_styles()]
    for description in descriptions:
        words.update(description.split())
    return sorted(words | set(toy_world().subject_names.values()) | set(toy_world().style_names.values()))
