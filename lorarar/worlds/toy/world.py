"""World: sets of subjects and styles, disjoint, with their ids, names and images.

The diffusion model is pre-trained on the base set. LoRAs are trained on the train, validation and test sets, which the
base set excludes; no two sets share a subject or a style.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lorarar.datasets import seed_of
from lorarar.worlds.toy.attributes import (
    CATEGORIES,
    OUTLINES,
    PATTERNS,
    SHADINGS,
    Member,
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


@dataclass(frozen=True)
class ToyWorld:
    """Every set of the world.

    Attributes:
        subjects: Members of each set by its name.
        styles: Members of each set by its name.
        subject_names: Names of those subjects of the base set that have one.
        style_names: Names of those styles of the base set that have one.
    """

    subjects: dict[str, tuple[Subject, ...]]
    styles: dict[str, tuple[Style, ...]]
    subject_names: dict[Subject, str]
    style_names: dict[Style, str]


@cache
def toy_world() -> ToyWorld:
    """Return the one toy world. A seed fixes its sets, which are checked to be disjoint."""
    random = np.random.default_rng(2412_05148)
    subjects = _split(_shuffled(all_subjects(), random), _subject_fits)
    styles = _split(_shuffled(sorted(set(all_styles()) - set(neutral_looks())), random), _style_fits)
    names = _pseudo_words(NAMED_SUBJECTS + NAMED_STYLES, random)
    world = ToyWorld(
        subjects,
        styles,
        dict(zip(subjects["base"], names[:NAMED_SUBJECTS], strict=False)),
        dict(zip(styles["base"], names[NAMED_SUBJECTS:], strict=False)),
    )
    check_disjoint_sets(world.subjects)
    check_disjoint_sets(world.styles)
    return world


def check_disjoint_sets(sets: dict[str, tuple[Member, ...]]) -> None:
    """Check that no member occurs twice, within a set or in two of them.

    Raises:
        ValueError: A member occurs twice.
    """
    seen: dict[Member, str] = {}
    for name, members in sets.items():
        for member in members:
            if member in seen:
                raise ValueError(
                    f"expected disjoint sets, found {member} in {seen[member]!r} and in {name!r}: take it out "
                    "of one of them"
                )
            seen[member] = name


def concept_name(split: str, kind: str, index: int) -> str:
    """Return the id of a concept, such as "test_content_03"."""
    return f"{split}_{kind}_{index:02d}"


def subject_of(concept: str) -> Subject:
    """Return the subject of a content's id, such as "test_content_03", or "test_content_03_b" for a second LoRA."""
    split, _, index = concept.split("_")[:3]
    return toy_world().subjects[split][int(index)]


def style_of(concept: str) -> Style:
    """Return the style of a style's id, such as "test_style_03", or "test_style_03_b" for a second LoRA."""
    split, _, index = concept.split("_")[:3]
    return toy_world().styles[split][int(index)]


def content_images(split: str, index: int) -> list[NDArray[np.uint8]]:
    """Return the reference images of a content: neutral styles, plain backgrounds of several tones."""
    subject = toy_world().subjects[split][index]
    random = np.random.default_rng(seed_of(concept_name(split, "content", index)))
    looks = random.permutation(len(neutral_looks()))[: CONTENT_IMAGES[index % len(CONTENT_IMAGES)]]
    return [render(subject, neutral_looks()[look], int(random.integers(2**31))) for look in looks]


def style_subjects(split: str, index: int, count: int = STYLE_IMAGES) -> list[Subject]:
    """Return the subjects of a style's reference images, all from the base set."""
    base = toy_world().subjects["base"]
    random = np.random.default_rng(seed_of(concept_name(split, "style", index)))
    return [base[i] for i in random.permutation(len(base))[:count]]


def style_images(split: str, index: int, count: int = STYLE_IMAGES) -> list[NDArray[np.uint8]]:
    """Return the reference images of a style, one for each of its `style_subjects`."""
    style = toy_world().styles[split][index]
    random = np.random.default_rng(seed_of(concept_name(split, "style", index), 1))
    return [render(subject, style, int(random.integers(2**31))) for subject in style_subjects(split, index, count)]


def _shuffled(members: list[Member], random: np.random.Generator) -> list[Member]:
    return [members[i] for i in random.permutation(len(members))]


def _subject_fits(subject: Subject, index: int) -> bool:
    """Tell whether a subject may be number `index` of a split: the categories take turns."""
    return subject.category == index % len(CATEGORIES)


def _style_fits(style: Style, index: int) -> bool:
    """Tell whether a style may be number `index` of a split: patterns, outlines and shadings take turns."""
    return (style.pattern, style.outline, style.shading) == (
        index % len(PATTERNS),
        (index + 1) % len(OUTLINES),
        index // 4 % len(SHADINGS),
    )


def _split(members: list[Member], fits: Callable[[Member, int], bool]) -> dict[str, tuple[Member, ...]]:
    """Distribute members to the splits, cycling through attribute values; the rest is the base set."""
    left, sets = list(members), {}
    for split, size in SPLITS.items():
        chosen = []
        for index in range(size):
            member = next((m for m in left if fits(m, index)), left[0])
            left.remove(member)
            chosen.append(member)
        sets[split] = tuple(chosen)
    return {"base": tuple(left)} | sets


def _pseudo_words(count: int, random: np.random.Generator) -> list[str]:
    """Return distinct four-letter names without a meaning, such as "bako"."""
    syllables = [c + v for c in "bdfgklmnprtvz" for v in "aeiou"]
    pairs = random.permutation(len(syllables) ** 2)[:count]
    return [syllables[p // len(syllables)] + syllables[p % len(syllables)] for p in pairs]
