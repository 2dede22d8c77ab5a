"""Transformations of the toy world by program, with exact truth: what an analogy a : a' = b : b' does.

A scene is nine values. A transformation of some kind, such as "paint", changes some of them, so that both images of an
analogy and the truth about the answer are known. Kinds, values of kinds and compositions of kinds are held out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lorarar.worlds.toy.attributes import (
    CATEGORIES,
    HUES,
    MARK_COLOURS,
    MARKS,
    OUTLINES,
    PATTERNS,
    SHADINGS,
    Style,
    Subject,
    truth,
)

LEVELS = ("light", "deep")


class Scene(NamedTuple):
    """A subject in a style, as indices; a tone is its level and the hue of the ground."""

    category: int
    hue: int
    mark: int
    mark_colour: int
    pattern: int
    level: int
    ground: int
    outline: int
    shading: int

    @property
    def subject(self) -> Subject:
        """The subject."""
        return Subject(self.category, self.hue, self.mark, self.mark_colour)

    @property
    def style(self) -> Style:
        """The style."""
        return Style(self.pattern, self.level * len(HUES) + self.ground, self.outline, self.shading)

    def truth(self) -> tuple[int, ...]:
        """Return the eight attribute values that a classifier should read."""
        return truth(self.subject, self.style)


WORDS: Mapping[str, tuple[str, ...]] = {
    "category": CATEGORIES,
    "hue": HUES,
    "mark": MARKS,
    "mark_colour": MARK_COLOURS,
    "pattern": PATTERNS,
    "level": LEVELS,
    "ground": HUES,
    "outline": OUTLINES,
    "shading": SHADINGS,
}
# Values that no training analogy sets, though scenes show them.
HELD_OUT_VALUES = {"category": 7, "hue": 5, "mark": 4, "pattern": 4, "ground": 5}
Change = Callable[[Scene, tuple[int, ...]], Scene]


@dataclass(frozen=True)
class Kind:
    """A type of transformation.

    Attributes:
        name: Its name.
        parts: Parts of a scene that it changes.
        parameters: Parts whose possible values are those of its values.
        change: Maps a scene and values to the transformed scene.
    """

    name: str
    parts: tuple[str, ...]
    parameters: tuple[str, ...]
    change: Change

    def values(self) -> list[tuple[int, ...]]:
        """Return every tuple of values."""
        return list(itertools.product(*(range(len(WORDS[part])) for part in self.parameters)))


@dataclass(frozen=True)
class Transformation:
    """One or two kinds with their values; a composition applies them in turn."""

    steps: tuple[tuple[Kind, tuple[int, ...]], ...]

    @property
    def name(self) -> str:
        """Name of the kind, or of both."""
        return "+".join(kind.name for kind, _ in self.steps)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of a scene that it changes."""
        return tuple(part for kind, _ in self.steps for part in kind.parts)

    def __call__(self, scene: Scene) -> Scene:
        """Return the transformed scene."""
        for kind, values in self.steps:
            scene = kind.change(scene, values)
        return scene

    def changes_all(self, scene: Scene) -> bool:
        """Tell whether every part that it is about does change."""
        after = self(scene)
        return all(getattr(scene, part) != getattr(after, part) for part in self.parts)


def _sets(name: str, *parts: str) -> Kind:
    return Kind(name, parts, parts, lambda scene, values: scene._replace(**dict(zip(parts, values, strict=True))))


def _turned(hue: int, by: int) -> int:
    return (hue + by) % len(HUES)


def _swap(scene: Scene, values: tuple[int, ...]) -> Scene:
    return scene._replace(hue=scene.ground, ground=scene.hue)


def _turn(scene: Scene, values: tuple[int, ...]) -> Scene:
    return scene._replace(hue=_turned(scene.hue, values[0]), ground=_turned(scene.ground, values[0]))


def _contrast(scene: Scene, values: tuple[int, ...]) -> Scene:
    return scene._replace(hue=values[0], ground=_turned(values[0], 3))


def _negative(scene: Scene, values: tuple[int, ...]) -> Scene:
    return _turn(scene, (3,))._replace(level=1 - scene.level)


_BOTH = ("hue", "ground")
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        _sets("shape", "category"),
        _sets("paint", "hue"),
        _sets("mark", "mark"),
        _sets("ink", "mark_colour"),
        _sets("pattern", "pattern"),
        _sets("ground", "ground"),
        _sets("level", "level"),
        _sets("outline", "outline"),
        _sets("shading", "shading"),
        _sets("marking", "mark", "mark_colour"),
        _sets("object", "category", "hue"),
        _sets("livery", "hue", "mark_colour"),
        _sets("recast", "category", "hue", "mark", "mark_colour"),
        _sets("backdrop", "pattern", "ground"),
        _sets("tone", "level", "ground"),
        _sets("scenery", "pattern", "level", "ground"),
        _sets("finish", "outline", "shading"),
        _sets("lighting", "level", "shading"),
        _sets("cartoon", "pattern", "outline"),
        _sets("restyle", "pattern", "level", "ground", "outline", "shading"),
        Kind("swap", _BOTH, (), _swap),
        Kind("turn", _BOTH, ("hue",), _turn),  # by 1 to 5 sixths of the circle
        Kind("single", _BOTH, ("hue",), lambda scene, values: scene._replace(hue=values[0], ground=values[0])),
        Kind("contrast", _BOTH, ("hue",), _contrast),
        Kind("negative", (*_BOTH, "level"), (), _negative),
    )
}
HELD_OUT = ("ink", "outline", "object", "tone", "lighting", "cartoon", "swap", "negative")
SEEN = tuple(name for name in KINDS if name not in HELD_OUT)
# Compositions of kinds that training sees one at a time.
COMPOSITIONS = (
    ("paint", "pattern"),
    ("shape", "ground"),
    ("mark", "shading"),
    ("shape", "level"),
    ("mark", "ground"),
    ("paint", "shading"),
    ("shape", "finish"),
    ("marking", "scenery"),
)


def has_held_out_value(kind: Kind, values: tuple[int, ...]) -> bool:
    """Tell whether a kind's values hold one that training does not set."""
    return any(HELD_OUT_VALUES.get(part) == value for part, value in zip(kind.parameters, values, strict=True))


def transformations_of(part: str) -> dict[str, list[Transformation]]:
    """Return the transformations of a part by their name.

    Args:
        part: "train", and "seen" for the same in tests; "values", seen kinds with held-out values; "compositions" of
            two seen kinds; "types", held-out kinds.
    """
    if part == "compositions":
        return {"+".join(pair): _compositions(*pair) for pair in COMPOSITIONS}
    names = HELD_OUT if part == "types" else SEEN
    found = {}
    for name in names:
        kind = KINDS[name]
        values = kind.values()
        if part != "types":
            values = [value for value in values if has_held_out_value(kind, value) == (part == "values")]
        if values:
            found[name] = [Transformation(((kind, value),)) for value in values]
    return found


def _compositions(first: str, second: str) -> list[Transformation]:
    """Return the compositions of two kinds with values that training sets."""
    options = [[t.steps[0] for t in transformations_of("train")[name]] for name in (first, second)]
    return [Transformation(pair) for pair in itertools.product(*options)]


def explanations(before: Scene, after: Scene) -> Iterator[Transformation]:
    """Yield every single transformation that makes the second scene of the first, changing all its parts."""
    changed = {part for part in Scene._fields if getattr(before, part) != getattr(after, part)}
    for kind in KINDS.values():
        if set(kind.parts) == changed:
            for values in kind.values():
                transformation = Transformation(((kind, values),))
                if transformation(before) == after:
                    yield transformation


def check_splits() -> None:
    """Check that nothing held out can be met in training.

    Raises:
        ValueError: A held-out kind or composition changes the same parts as a composition or a seen kind that would
            explain it, or a held-out value is set in training.
    """
    trained = transformations_of("train")
    seen = {frozenset(KINDS[name].parts) for name in SEEN}
    composed = {frozenset(KINDS[a].parts + KINDS[b].parts) for a, b in COMPOSITIONS}
    mistakes = [name for name in HELD_OUT if name in trained]
    mistakes += [name for name in HELD_OUT if frozenset(KINDS[name].parts) in seen and name != "swap"]
    mistakes += ["+".join(sorted(parts)) for parts in composed if parts in {frozenset(k.parts) for k in KINDS.values()}]
    mistakes += [t.name for list_ in trained.values() for t in list_ if any(has_held_out_value(*s) for s in t.steps)]
    mistakes += [f"{a}+{b}" for a, b in COMPOSITIONS if a in HELD_OUT or b in HELD_OUT]
    mistakes += [f"{a}+{b}" for a, b in COMPOSITIONS if set(KINDS[a].parts) & set(KINDS[b].parts)]
    if mistakes:
        raise ValueError(f"expected disjoint tasks of training and tests, found {mistakes} in both: hold them out")
