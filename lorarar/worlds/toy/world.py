"""Who lives in the toy world: disjoint sets of subjects and styles, their ids, names and images.

Base set: what the diffusion model is pre-trained on. Train, validation and test sets: what LoRAs
are trained on; the base never sees them, and they share no subject and no style with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lorarar.datasets import seed_of
from lorarar.worlds.toy.attributes import (
    CATEGORIES,
    OUTLINES,
    PATTERNS,
    SHADINGS,
    Style,
    Subject,
    all_styles,
    all_subjects,
    neutral_looks,
)
from lorarar.worlds.toy.renderer import render

SPLITS = {"train": 40, "validation": 8, "test": 8}  # contents, and as many styles, in each
NAMED_SUBJECTS, NAMED_STYLES = 200, 120
CONTENT_IMAGES = (4, 5)  # each content has one of these counts
STYLE_IMAGES = 1  # of a style, as in the paper
CONTENT_TOKEN, STYLE_TOKEN = "sks", "szn"

T = TypeVar("T", Subject, Style)


@dataclass(frozen=True)
class ToyWorld:
    """Every set of the world. ``subjects`` and ``styles`` map a set's name to its members."""

    subjects: dict[str, tuple[Subject, ...]]
    styles: dict[str, tuple[Style, ...]]
    subject_names: dict[Subject, str]
    style_names: dict[Style, str]


@cache
def toy_world() -> ToyWorld:
    """The one toy world. Its sets are fixed by a seed and checked to be disjoint."""
    random = np.random.default_rng(2412_05148)
    subjects = _split(_shuffled(all_subjects(), random), _wanted_subject)
    styles = _split(_shuffled(sorted(set(all_styles()) - set(neutral_looks())), random), _wanted_style)
    words = _pseudo_words(NAMED_SUBJECTS + NAMED_STYLES, random)
    found = ToyWorld(
        subjects,
        styles,
        dict(zip(subjects["base"], words[:NAMED_SUBJECTS], strict=False)),
        dict(zip(styles["base"], words[NAMED_SUBJECTS:], strict=False)),
    )
    check_disjoint_sets(found.subjects)
    check_disjoint_sets(found.styles)
    return found


def check_disjoint_sets(sets: dict[str, tuple[T, ...]]) -> None:
    """Raise ValueError if a member occurs twice, within a set or in two of them."""
    seen: dict[T, str] = {}
    for name, members in sets.items():
        for member in members:
            if member in seen:
                raise ValueError(
                    f"sets must be disjoint, but {member} is in {seen[member]!r} and in {name!r}: "
                    "take it out of one of them"
                )
            seen[member] = name


def concept_name(split: str, kind: str, index: int) -> str:
    """The id of a concept, such as ``test_content_03``."""
    return f"{split}_{kind}_{index:02d}"


def content_images(split: str, index: int) -> list[NDArray[np.uint8]]:
    """The reference images of a content: one neutral look, plain grounds of several tones."""
    subject = toy_world().subjects[split][index]
    random = np.random.default_rng(seed_of(concept_name(split, "content", index)))
    looks = random.permutation(len(neutral_looks()))[: CONTENT_IMAGES[index % len(CONTENT_IMAGES)]]
    return [render(subject, neutral_looks()[look], int(random.integers(2**31))) for look in looks]


def style_subjects(split: str, index: int, count: int = STYLE_IMAGES) -> list[Subject]:
    """The subjects, all of the base's own set, that a style's reference images show."""
    base = toy_world().subjects["base"]
    random = np.random.default_rng(seed_of(concept_name(split, "style", index)))
    return [base[i] for i in random.permutation(len(base))[:count]]


def style_images(split: str, index: int, count: int = STYLE_IMAGES) -> list[NDArray[np.uint8]]:
    """The reference images of a style, one for each of its ``style_subjects``."""
    style = toy_world().styles[split][index]
    random = np.random.default_rng(seed_of(concept_name(split, "style", index), 1))
    return [render(subject, style, int(random.integers(2**31))) for subject in style_subjects(split, index, count)]


def _shuffled(members: list[T], random: np.random.Generator) -> list[T]:
    return [members[i] for i in random.permutation(len(members))]


def _wanted_subject(subject: Subject, index: int) -> bool:
    return subject.category == index % len(CATEGORIES)


def _wanted_style(style: Style, index: int) -> bool:
    return (style.pattern, style.outline, style.shading) == (
        index % len(PATTERNS),
        (index + 1) % len(OUTLINES),
        index // 4 % len(SHADINGS),
    )


def _split(members: list[T], wanted: Callable[[T, int], bool]) -> dict[str, tuple[T, ...]]:
    """Deal members to the splits, cycling through attribute values; the rest is the base's."""
    left, sets = list(members), {}
    for split, size in SPLITS.items():
        chosen = []
        for index in range(size):
            member = next((m for m in left if wanted(m, index)), left[0])
            left.remove(member)
            chosen.append(member)
        sets[split] = tuple(chosen)
    return {"base": tuple(left)} | sets


def _pseudo_words(count: int, random: np.random.Generator) -> list[str]:
    """Distinct four-letter names without meaning, such as ``bako``."""
    syllables = [c + v for c in "bdfgklmnprtvz" for v in "aeiou"]
    pairs = random.permutation(len(syllables) ** 2)[:count]
    return [syllables[p // len(syllables)] + syllables[p % len(syllables)] for p in pairs]
