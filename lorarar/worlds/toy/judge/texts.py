"""Questions of the tiny judge's training: single attributes first, then whole questions in many wordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lorarar.datasets import AXES, Axis, ReferenceConcept
from lorarar.evaluation.judge.ask.rubrics import Rubric, load_rubric
from lorarar.worlds.toy.attributes import (
    ATTRIBUTES,
    CATEGORIES,
    HUES,
    MARK_COLOURS,
    MARKS,
    OUTLINES,
    PATTERNS,
    SHADINGS,
    TONES,
)
from lorarar.worlds.toy.world import CONTENT_TOKEN, STYLE_TOKEN

RUBRICS = ("mars2", "mars2_color", "mars2_nameless")
NOTHING = "nothing"  # the value of every attribute of a blank
_VALUES = (CATEGORIES, HUES, MARKS, MARK_COLOURS, PATTERNS, TONES, OUTLINES, SHADINGS)
# One word for each value, so that an answer is one token.
VALUE_WORDS = {name: [v.replace(" ", "_") for v in values] for name, values in zip(ATTRIBUTES, _VALUES, strict=True)}
_PHRASES: dict[Axis, tuple[str, ...]] = {
    "content": tuple(f"{token}{word}" for token in ("", f"{CONTENT_TOKEN} ") for word in CATEGORIES),
    "style": (STYLE_TOKEN, f"{STYLE_TOKEN} style", "rendered"),
}
# Further wordings beside the rubrics': a judge that is trained on several texts depends less on each.
_PARAPHRASES: tuple[dict[Axis, str], ...] = (
    {
        "content": "The {reference} image shows a {phrase}. Does the {test} image show this very {phrase}?",
        "style": "The {reference} image is an example of {phrase}. Is the {test} image made in it too?",
    },
    {
        "content": "Same subject in both images? Style and background do not matter.",
        "style": "Same style in both images? What they show does not matter.",
    },
)


def training_rubrics() -> list[Rubric]:
    """Return the rubrics that the judge is trained to answer with yes or no, and paraphrases."""
    rubrics = [load_rubric(name) for name in RUBRICS]
    others = [*(rubric.reworded for rubric in rubrics if rubric.reworded), *_PARAPHRASES]
    return [*rubrics, *(Rubric(f"paraphrase_{i}", 1, "yes_no", texts) for i, texts in enumerate(others))]


def name_question(attribute: str, second: bool) -> str:
    """Return the question for one attribute of one image; the answer is one of its `VALUE_WORDS`, or `NOTHING`."""
    return f"name the {attribute} of the {'second' if second else 'first'} image"


def agreement_question(attribute: str) -> str:
    """Return the question whether both images agree in one attribute."""
    return f"do both images have the same {attribute}"


def questioned_concept(axis: Axis, category: int, random: np.random.Generator) -> ReferenceConcept:
    """Return a concept as a question may name it: a content by its category, with or without its LoRA's token."""
    if axis == "style":
        return ReferenceConcept("", axis, str(random.choice(_PHRASES[axis])), ())
    token = CONTENT_TOKEN + " " if random.random() < 0.2 else ""
    return ReferenceConcept("", axis, token + CATEGORIES[category], ())


def vocabulary_texts(rubrics: Sequence[Rubric]) -> list[str]:
    """Return every text that the vocabulary must cover."""
    questions = [
        rubric.ask(axis, ReferenceConcept("", axis, phrase, ()), swapped=swapped)
        for rubric in rubrics
        for axis in AXES
        for phrase in _PHRASES[axis]
        for swapped in (False, True)
    ]
    single = [
        text for a in ATTRIBUTES for text in (name_question(a, False), name_question(a, True), agreement_question(a))
    ]
    return [*questions, *single, *(word for words in VALUE_WORDS.values() for word in words), NOTHING, "yes", "no"]
