"""Catalogue: the drawings of the art world by class and artist, and the packages that they come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from lorarar.storage import package_path


@dataclass(frozen=True, order=True)
class Drawing:
    """A content: one artist's drawing of a class.

    Attributes:
        class_name: What it shows, one word, such as "lion".
        artist: A neutral word for the artist's manner, such as "glossy".
        split: "base", or the set for which it is held out from the base: "train", "validation" or "test".
    """

    class_name: str
    artist: str
    split: str

    @property
    def words(self) -> str:
        """Return the description for a caption, such as "glossy lion"."""
        return f"{self.artist} {self.class_name}"


@dataclass(frozen=True)
class DrawingPackage:
    """An npm package of one artist's drawings.

    Attributes:
        name: Its name in the registry.
        version: The one version that the drawings are made from.
        sha256: SHA-256 of the package's archive.
    """

    name: str
    version: str
    sha256: str

    @property
    def archive(self) -> str:
        """Return the file name that `npm pack` gives the archive."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


@cache
def all_drawings() -> tuple[Drawing, ...]:
    """Return every drawing, class by class, in the order of the atlas."""
    drawings = []
    for class_name, entry in _catalogue()["classes"].items():
        held_out = {artist: split for split, artist in entry["held_out"].items()}
        drawings += [Drawing(class_name, artist, held_out.get(artist, "base")) for artist in entry["drawings"]]
    return tuple(drawings)


@cache
def drawing_packages() -> dict[str, DrawingPackage]:
    """Return each artist's package."""
    return {artist: DrawingPackage(**entry) for artist, entry in _catalogue()["packages"].items()}


def source_name(drawing: Drawing) -> str:
    """Return the name of a drawing in its artist's package, such as "lion-face"."""
    name: str = _catalogue()["classes"][drawing.class_name]["drawings"][drawing.artist]
    return name


@cache
def _catalogue() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(
        package_path("worlds", "art", "catalogue.yaml").read_text(encoding="utf-8")
    )
    return content
