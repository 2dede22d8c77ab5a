"""World: sets of drawings and styles, disjoint, with their ids and images.

The diffusion model is pre-trained on the base set. LoRAs are trained on the train, validation and test sets, which the
base set excludes. Every class of a held-out drawing stays in the base set through other artists; some families of
styles have no style in the base set at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lorarar.datasets import seed_of
from lorarar.worlds.art.catalogue import Drawing, all_drawings
from lorarar.worlds.art.renderer import render
from lorarar.worlds.art.styles import ArtStyle, all_styles, plain_grounds

SPLITS = {"train": (32, 40), "validation": (16, 16), "test": (16, 16)}  # contents and styles in each
NEW_FAMILIES = ("popart", "relief", "synthwave", "woodblock")  # of which the base has no style
CONTENT_IMAGES = (4, 5)  # each content has one of these counts
STYLE_IMAGES = 4
ONE_IMAGE = "_one_image"  # end of the id of a style that is learnt from one image


@dataclass(frozen=True)
class ArtWorld:
    """Every set of the world.

    Attributes:
        drawings: Members of each set by its name.
        styles: Members of each set by its name.
    """

    drawings: dict[str, tuple[Drawing, ...]]
    styles: dict[str, tuple[ArtStyle, ...]]


@cache
def art_world() -> ArtWorld:
    """Return the one art world, checked."""
    names = ("base", *SPLITS)
    world = ArtWorld(
        {split: tuple(d for d in all_drawings() if d.split == split) for split in names},
        {split: tuple(s for s in all_styles() if s.split == split) for split in names},
    )
    check_world(world)
    return world


def check_world(world: ArtWorld) -> None:
    """Check the sets: disjoint, of their sizes, with each class in the base set and each new family outside it.

    Raises:
        ValueError: A set is not as it should be.
    """
    _check_once([(d.class_name, d.artist) for drawings in world.drawings.values() for d in drawings])
    _check_once([(s.variant, s.family) for styles in world.styles.values() for s in styles])
    for split, sizes in SPLITS.items():
        found = len(world.drawings[split]), len(world.styles[split])
        if found != sizes:
            raise ValueError(f"expected {sizes} contents and styles in {split!r}, found {found}: move some of them")
    held_out = [d.class_name for split in SPLITS for d in world.drawings[split]]
    _check_once(held_out)
    missing = sorted(set(held_out) - {d.class_name for d in world.drawings["base"]})
    if missing:
        raise ValueError(f"expected every class in the base set, found none of {missing}: add drawings of them to it")
    leaked = sorted({s.family for s in world.styles["base"]} & set(NEW_FAMILIES))
    if leaked:
        raise ValueError(f"expected no style of {leaked} in the base set, found some: move them to another set")


def _check_once(members: Sequence[Hashable]) -> None:
    twice = [member for member, count in Counter(members).items() if count > 1]
    if twice:
        raise ValueError(f"expected disjoint sets, found {twice[0]} twice: take it out of one of them")


def concept_name(split: str, kind: str, index: int) -> str:
    """Return the id of a concept, such as "test_content_03"."""
    return f"{split}_{kind}_{index:02d}"


def drawing_of(concept: str) -> Drawing:
    """Return the drawing of a content's id, such as "test_content_03"."""
    split, _, index = concept.split("_")
    return art_world().drawings[split][int(index)]


def art_style_of(concept: str) -> ArtStyle:
    """Return the style of a style's id, such as "test_style_03" or "test_style_03_one_image"."""
    split, _, index = concept.removesuffix(ONE_IMAGE).split("_")
    return art_world().styles[split][int(index)]


def content_images(split: str, index: int) -> list[NDArray[np.uint8]]:
    """Return the reference images of a content, on plain grounds of several colours."""
    drawing = art_world().drawings[split][index]
    random = np.random.default_rng(seed_of(concept_name(split, "content", index)))
    grounds = random.permutation(len(plain_grounds()))[: CONTENT_IMAGES[index % len(CONTENT_IMAGES)]]
    return [render(drawing, plain_grounds()[ground], int(random.integers(2**31))) for ground in grounds]


def style_drawings(split: str, index: int, count: int = STYLE_IMAGES) -> list[Drawing]:
    """Return the drawings of a style's reference images, all from the base set and of different classes."""
    base = art_world().drawings["base"]
    random = np.random.default_rng(seed_of(concept_name(split, "style", index)))
    chosen: dict[str, Drawing] = {}
    for i in random.permutation(len(base)):
        chosen.setdefault(base[i].class_name, base[i])
    return list(chosen.values())[:count]


def style_images(split: str, index: int, count: int = STYLE_IMAGES) -> list[NDArray[np.uint8]]:
    """Return the reference images of a style, one for each of its `style_drawings`."""
    style = art_world().styles[split][index]
    random = np.random.default_rng(seed_of(concept_name(split, "style", index), 1))
    return [render(drawing, style, int(random.integers(2**31))) for drawing in style_drawings(split, index, count)]
