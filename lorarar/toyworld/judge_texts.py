"""What the tiny judge is asked while it learns: single attributes first, then whole questions in many wordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorarar.judge.records import AXES, Axis
from lorarar.toyworld.attributes import (
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
from lorarar.toyworld.world import CONTENT_TOKEN, STYLE_TOKEN

NOTHING = "nothing"  # what a blank shows
_VALUES = (CATEGORIES, HUES, MARKS, MARK_COLOURS, PATTERNS, TONES, OUTLINES, SHADINGS)
# One word for each value, so that an answer is one token.
VALUE_WORDS = {name: [v.replace(" ", "_") for v in values] for name, values in zip(ATTRIBUTES, _VALUES, strict=True)}

_PARAPHRASES: dict[Axis, tuple[str, ...]] = {
    "content": (
        "Is the {name} in the {test} image the same as in the {reference} image?",
        "The {reference} image shows a {name}. Does the {test} image show the very same {name}, whatever its style?",
        "Same subject in both images? Style and background do not matter. Answer yes or no.",
        "Compare shape, colour and marks of the {name}. Are they equal? Answer with yes or no only.",
    ),
    "style": (
        "Is the {test} image in the style of the {reference} image?",
        "The {reference} image is an example of {name}. Is the {test} image drawn in it too, whatever it shows?",
        "Same style in both images? What they show does not matter. Answer yes or no.",
        "Compare background, outline and shading. Are they equal? Answer with yes or no only.",
    ),
}


@dataclass(frozen=True)
class Wording:
    """One way to ask about an axis; ``swapped``: with the test image shown first."""

    axis: Axis
    text: str
    swapped: bool


def paraphrases() -> list[Wording]:
    """Own wordings beside the rubrics': a judge that has learnt more than one text by heart is less brittle."""
    return [
        Wording(axis, text.replace("{reference}", order[0]).replace("{test}", order[1]), swapped)
        for axis in AXES
        for text in _PARAPHRASES[axis]
        for swapped, order in ((False, ("first", "second")), (True, ("second", "first")))
    ]


def ask_name(attribute: str, second: bool) -> str:
    """Asks for one attribute of one image; the answer is one of its ``VALUE_WORDS``, or ``NOTHING``."""
    return f"name the {attribute} of the {'second' if second else 'first'} image"


def ask_same(attribute: str) -> str:
    """Asks whether both images agree in one attribute."""
    return f"do both images have the same {attribute}"


def name_for(axis: Axis, category: int, random: np.random.Generator) -> str:
    """How a question may name the reference: by category, with or without the token of its LoRA."""
    if axis == "style":
        return str(random.choice([STYLE_TOKEN, f"{STYLE_TOKEN} style", f"in {STYLE_TOKEN} style"]))
    word = CATEGORIES[category]
    return str(random.choice([word, f"{CONTENT_TOKEN} {word}", f"a {CONTENT_TOKEN} {word}"]))


def all_texts(wordings: Sequence[Wording]) -> list[str]:
    """Every text that the vocabulary must cover."""
    single = [ask_name(a, s) for a in ATTRIBUTES for s in (False, True)] + [ask_same(a) for a in ATTRIBUTES]
    words = [word for values in VALUE_WORDS.values() for word in values]
    names = [*CATEGORIES, f"a {CONTENT_TOKEN}", f"in {STYLE_TOKEN} style"]
    return [*single, *words, *names, NOTHING, "yes", "no", *(wording.text for wording in wordings)]
