"""Definition of the toy world for the stages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.datasets import Pair
from lorarar.worlds.stages.world import Render, RenderSet, WorldClassifier, crossed_renders
from lorarar.worlds.toy.attributes import Style, Subject, neutral_looks, truth
from lorarar.worlds.toy.captions import base_caption
from lorarar.worlds.toy.renderer import SIZE, render
from lorarar.worlds.toy.vocabulary import LENGTH, vocabulary_words
from lorarar.worlds.toy.world import style_of, subject_of, toy_world


class Toy:
    """The toy world; see `World`."""

    name = "toy"
    size = SIZE
    prompt_length = LENGTH

    def vocabulary(self) -> list[str]:
        """Return every word of captions and prompts, sorted."""
        return vocabulary_words()

    def plan(self, part: RenderSet, count: int, seed: int) -> list[Render]:
        """Return images to draw; half of the base's own have a name."""
        random = np.random.default_rng(seed)
        if part == "test":
            return crossed_renders(toy_world().subjects["test"], toy_world().styles["test"], count)
        if part == "known":
            sets = [(_members("subjects", "train"), _members("styles", "train"))] * 2
        else:
            named = list(toy_world().subject_names), list(toy_world().style_names)
            sets = [named, (_members("subjects"), [*_members("styles"), *neutral_looks()])]
        return [_choose(sets, random) for _ in range(count)]

    def render(self, content: Subject, style: Style, seed: int) -> NDArray[np.uint8]:
        """Return an image (32, 32, 3), 0 to 255."""
        return render(content, style, seed)

    def caption(self, content: Subject, style: Style, random: np.random.Generator) -> str:
        """Return a caption for pre-training."""
        return base_caption(content, style, toy_world(), random)

    def full_caption(self, content: Subject, style: Style) -> str:
        """Return both descriptions."""
        return f"a {content.words()} in {style.words()} style"

    def truth(self, content: Subject, style: Style) -> tuple[int, ...]:
        """Return the eight attribute values."""
        return truth(content, style)

    def members(self, pair: Pair) -> tuple[Subject, Style]:
        """Return the subject and the style of a pair of concepts."""
        return subject_of(pair.content.name), style_of(pair.style.name)

    def new_classifier(self) -> WorldClassifier:
        """Return an untrained classifier of the eight attributes."""
        from lorarar.worlds.toy.classifier import AttributeClassifier

        return AttributeClassifier()


TOY = Toy()


def _members(kind: str, *splits: str) -> list[Any]:
    sets = getattr(toy_world(), kind)
    return [member for split in ("base", *splits) for member in sets[split]]


def _choose(sets: list[tuple[list[Any], list[Any]]], random: np.random.Generator) -> Render:
    """Return a subject and a style, each from the first or from the second set, and a seed."""
    subjects = sets[0 if random.random() < 0.5 else 1][0]
    subject = subjects[int(random.integers(len(subjects)))]
    styles = sets[0 if random.random() < 0.5 else 1][1]
    style = styles[int(random.integers(len(styles)))]
    return Render(subject, style, int(random.integers(2**31)))
