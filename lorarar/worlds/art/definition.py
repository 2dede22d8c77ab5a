"""Definition of the art world for the stages."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lorarar.datasets import Pair
from lorarar.worlds.art.captions import LENGTH, base_caption, vocabulary_words
from lorarar.worlds.art.catalogue import Drawing
from lorarar.worlds.art.renderer import render
from lorarar.worlds.art.styles import ArtStyle, plain_grounds
from lorarar.worlds.art.world import art_style_of, art_world, drawing_of
from lorarar.worlds.stages.world import Render, RenderSet, WorldClassifier, crossed_renders

_PLAIN_SHARE = {"base": 0.25, "known": 0.1}  # of renders on a plain ground


class Art:
    """The art world; see `World`.

    The truth of an image is three integers: class, drawing and style. All plain grounds are one style.
    """

    name = "art"
    size = 64
    prompt_length = LENGTH

    def vocabulary(self) -> list[str]:
        """Return every word of captions and prompts, sorted."""
        return vocabulary_words()

    def plan(self, part: RenderSet, count: int, seed: int) -> list[Render]:
        """Return images to draw, some of the training sets on plain grounds."""
        random = np.random.default_rng(seed)
        if part == "test":
            return crossed_renders(art_world().drawings["test"], art_world().styles["test"], count)
        splits = ("base",) if part == "base" else ("base", "train")
        drawings = [drawing for split in splits for drawing in art_world().drawings[split]]
        styles = [style for split in splits for style in art_world().styles[split]]
        plan = []
        for _ in range(count):
            drawing = drawings[int(random.integers(len(drawings)))]
            looks = plain_grounds() if random.random() < _PLAIN_SHARE[part] else styles
            plan.append(Render(drawing, looks[int(random.integers(len(looks)))], int(random.integers(2**31))))
        return plan

    def render(self, content: Drawing, style: ArtStyle, seed: int) -> NDArray[np.uint8]:
        """Return an image (64, 64, 3), 0 to 255."""
        return render(content, style, seed, self.size)

    def caption(self, content: Drawing, style: ArtStyle, random: np.random.Generator) -> str:
        """Return a caption for pre-training."""
        return base_caption(content, style, random)

    def full_caption(self, content: Drawing, style: ArtStyle) -> str:
        """Return artist, class and style in words."""
        joined = f"on {style.variant}" if style.family == "plain" else f"in {style.words} style"
        return f"a {content.words} {joined}"

    def truth(self, content: Drawing, style: ArtStyle) -> tuple[int, ...]:
        """Return the indices of class, drawing and style."""
        return class_names().index(content.class_name), drawing_index()[content], style_index()[style]

    def members(self, pair: Pair) -> tuple[Drawing, ArtStyle]:
        """Return the drawing and the style of a pair of concepts."""
        return drawing_of(pair.content.name), art_style_of(pair.style.name)

    def new_classifier(self) -> WorldClassifier:
        """Return an untrained classifier by prototypes."""
        from lorarar.worlds.art.classifier import PrototypeClassifier

        return PrototypeClassifier()


ART = Art()


@cache
def class_names() -> tuple[str, ...]:
    """Return every class, sorted."""
    return tuple(sorted({drawing.class_name for drawing in drawing_index()}))


@cache
def drawing_index() -> dict[Drawing, int]:
    """Return every drawing with its number in classifiers."""
    return {drawing: i for i, drawing in enumerate(sorted(d for split in art_world().drawings.values() for d in split))}


@cache
def style_index() -> dict[ArtStyle, int]:
    """Return every style with its number in classifiers; the plain grounds share the last one."""
    styles = sorted(style for split in art_world().styles.values() for style in split)
    return {style: i for i, style in enumerate(styles)} | dict.fromkeys(plain_grounds(), len(styles))
