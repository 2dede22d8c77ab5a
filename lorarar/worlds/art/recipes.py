"""Recipes of the drawings, readable without numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorarar.storage import InputPath


@dataclass(frozen=True)
class AtlasConfig:
    """`lorarar world drawings`: the drawings of the art world, made from their artists' packages.

    Attributes:
        output: Folder for the atlas.
        packages: Folder with the archives that `npm pack` gives; none: they are downloaded by npm.
    """

    output: Path
    packages: InputPath | None = None
