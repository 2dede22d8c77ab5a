"""Styles: families of filters with their variants, a palette and a ground each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from lorarar.storage import package_path
from lorarar.worlds.art.filters import paints, pens, prints, textures

PLAIN = "plain"  # the family of plain grounds
# The plain grounds on which contents are shown; they are no styles to learn.
GROUNDS = {
    "white": "#ffffff",
    "pink": "#f2d3d8",
    "blue": "#d3e2f4",
    "green": "#dcefd6",
    "beige": "#efe6cf",
    "grey": "#c9c9cf",
}
FILTERS: Mapping[str, Callable[..., NDArray[np.floating[Any]]]] = {
    "pencil": pens.pencil,
    "chalk": pens.chalk,
    "neon": pens.neon,
    "blueprint": pens.blueprint,
    "crayon": pens.crayon,
    "graffiti": pens.graffiti,
    "xray": pens.xray,
    "comic": prints.comic,
    "duotone": prints.duotone,
    "halftone": prints.halftone,
    "linocut": prints.linocut,
    "woodblock": prints.woodblock,
    "popart": prints.popart,
    "riso": prints.riso,
    "stencil": prints.stencil,
    "poster": prints.poster,
    "papercut": prints.papercut,
    "sticker": prints.sticker,
    "watercolour": paints.watercolour,
    "oil": paints.oil,
    "vintage": paints.vintage,
    "thermal": paints.thermal,
    "relief": paints.relief,
    "nightfall": paints.nightfall,
    "synthwave": paints.synthwave,
    "glitch": paints.glitch,
    "clay": paints.clay,
    "handheld": textures.handheld,
    "pixel": textures.pixel,
    "bricks": textures.bricks,
    "stitch": textures.stitch,
    "knit": textures.knit,
    "tiles": textures.tiles,
    "glass": textures.glass,
    "felt": textures.felt,
}


@dataclass(frozen=True, order=True)
class ArtStyle:
    """A style: a variant of a family of filters, or a plain ground.

    Attributes:
        variant: Word for its colours, such as "grey".
        family: Word for its technique, such as "pencil".
        split: "base", or the set for which it is held out from the base: "train", "validation" or "test".
    """

    variant: str
    family: str
    split: str

    @property
    def words(self) -> str:
        """Return the description for a caption, such as "grey pencil"."""
        return f"{self.variant} {self.family}"


@cache
def all_styles() -> tuple[ArtStyle, ...]:
    """Return every style but the plain grounds, family by family."""
    return tuple(
        ArtStyle(variant, family, entry["split"])
        for family, variants in _table().items()
        for variant, entry in variants.items()
    )


def plain_grounds() -> tuple[ArtStyle, ...]:
    """Return the plain grounds; the base knows all of them."""
    return tuple(ArtStyle(name, PLAIN, "base") for name in GROUNDS)


def style_colours(style: ArtStyle) -> dict[str, Any]:
    """Return the arguments of a style's filter."""
    return {name: value for name, value in _table()[style.family][style.variant].items() if name != "split"}


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    text = package_path("worlds", "art", "styles.yaml").read_text(encoding="utf-8")
    table: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(text)
    return table
