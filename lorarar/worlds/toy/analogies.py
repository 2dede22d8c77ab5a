"""Analogies and edits of the toy world: what the training and the tests of `lorarar.analogies` show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from lorarar.worlds.stages.world import Render, stack_images
from lorarar.worlds.toy.attributes import CONTENT_ATTRIBUTES, HUES
from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.transformations import WORDS, Scene, Transformation, explanations, transformations_of
from lorarar.worlds.toy.world import CONTENT_TOKEN, STYLE_TOKEN

UNNAMED = "a"  # prompt of an edit that no words name
_RESERVED = 8  # one scene in this many is for tests
_CONTENT = tuple(CONTENT_ATTRIBUTES)
_STYLE = tuple(part for part in Scene._fields if part not in _CONTENT)


class Analogy(NamedTuple):
    """An analogy, before : after = image : target; the two of a pair share their jitter."""

    transformation: Transformation
    before: Scene
    after: Scene
    image: Scene
    target: Scene
    seeds: tuple[int, int]

    def renders(self) -> list[Render]:
        """Return the four images to draw."""
        scenes = (self.before, self.after, self.image, self.target)
        return [
            Render(scene.subject, scene.style, seed)
            for scene, seed in zip(scenes, np.repeat(self.seeds, 2).tolist(), strict=True)
        ]


class Edit(NamedTuple):
    """An edit for the base: words, or a reference image in place 0 (before) or 1 (after), make the target."""

    caption: str
    image: Scene
    target: Scene
    reference: Scene
    place: int | None
    seeds: tuple[int, int]

    def renders(self) -> list[Render]:
        """Return the images to draw: the reference, the image, the target."""
        reference, seed = self.seeds
        return [
            Render(scene.subject, scene.style, jitter)
            for scene, jitter in ((self.reference, reference), (self.image, seed), (self.target, seed))
        ]


def is_reserved(scene: Scene) -> bool:
    """Tell whether a scene is kept for tests."""
    return sum((2 * i + 1) * value for i, value in enumerate(scene)) % _RESERVED == 0


def plan_analogies(part: str, count: int, seed: int) -> list[Analogy]:
    """Return analogies of a part, see `transformations_of`; their names take turns.

    Training shows no reserved scene; the images that a test starts from are all reserved. A pair of images has one
    explanation among the single transformations at most, so that the answer is exact.
    """
    random = np.random.default_rng(seed)
    choices = list(transformations_of(part).values())
    return [_draw(choices[i % len(choices)], part == "train", random) for i in range(count)]


def _draw(choices: list[Transformation], training: bool, random: np.random.Generator) -> Analogy:
    """Return a random analogy of one of some transformations."""
    while True:
        chosen = choices[int(random.integers(len(choices)))]
        before, image = (_scene(random, lambda s: is_reserved(s) != training) for _ in range(2))
        after, target = chosen(before), chosen(image)
        fits = chosen.changes_all(before) and chosen.changes_all(image)
        shown = (before, after, image, target) if training else ()
        if fits and not any(map(is_reserved, shown)) and sum(1 for _ in explanations(before, after)) <= 1:
            return Analogy(chosen, before, after, image, target, _seeds(random))


def draw_analogies(analogies: Sequence[Analogy]) -> Tensor:
    """Return the images before, after, image and target of analogies, (n, 4, 3, 32, 32) bytes."""
    images = stack_images([render(*planned) for analogy in analogies for planned in analogy.renders()])
    by_analogy: Tensor = images.unflatten(0, (-1, 4))
    return by_analogy


def plan_edits(count: int, seed: int) -> list[Edit]:
    """Return edits of the closed set that the editor base is trained on.

    Of ten, six name new values of one to four parts in words; three take the subject or the style of a reference
    image, which stands in the place of "before" or of "after"; one has no words and leaves the image as it is.
    """
    random = np.random.default_rng(seed)
    return [_edit(random) for _ in range(count)]


def _edit(random: np.random.Generator) -> Edit:
    while True:
        image, reference = (_scene(random, lambda s: not is_reserved(s)) for _ in range(2))
        sort = random.random()
        place = int(random.integers(2)) if 0.6 <= sort < 0.9 else None
        if sort < 0.6:
            parts = random.permutation(len(Scene._fields))[: int(random.choice([1, 1, 1, 2, 2, 3, 4]))]
            names = [Scene._fields[i] for i in sorted(parts)]
            target = image._replace(**{name: getattr(reference, name) for name in names})
            caption = _words(target, names)
        elif place is not None:
            takes_style = random.random() < 0.6
            target = image._replace(**{n: getattr(reference, n) for n in (_STYLE if takes_style else _CONTENT)})
            caption = f"a in {STYLE_TOKEN} style" if takes_style else f"a {CONTENT_TOKEN}"
        else:
            target, caption = image, ""
        if not is_reserved(target):
            return Edit(caption, image, target, reference, place, _seeds(random))


def describe_change(analogy: Analogy) -> str:
    """Return the words that name the change to the base."""
    return _words(analogy.target, [name for name in Scene._fields if name in analogy.transformation.parts])


def read_scenes(values: Tensor) -> list[Scene]:
    """Return the scenes that a classifier read, from its eight attribute values (n, 8)."""
    rows = values.tolist()
    return [Scene(*row[:5], *divmod(row[5], len(HUES)), *row[6:]) for row in rows]


def _words(scene: Scene, names: list[str]) -> str:
    """Return the words for some parts of a scene, in the order of the base's captions."""
    words = {name: WORDS[name][getattr(scene, name)] for name in names}
    content = [words[part] for part in ("hue", "category", "mark_colour", "mark") if part in words]
    style = [words[part] for part in ("level", "ground", "pattern", "outline", "shading") if part in words]
    return " ".join(["a", *content, *(["in", *style, "style"] if style else [])])


def _scene(random: np.random.Generator, fits: Callable[[Scene], bool]) -> Scene:
    while True:
        scene = Scene(*(int(random.integers(len(WORDS[part]))) for part in Scene._fields))
        if fits(scene):
            return scene


def _seeds(random: np.random.Generator) -> tuple[int, int]:
    return int(random.integers(2**31)), int(random.integers(2**31))
