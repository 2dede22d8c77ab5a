"""Ways to ask the same that should not change the answer: in other words, about a re-encoded or a trimmed image.

Some items are asked about in these ways, too. Such questions do not vote; how often their answers agree with the plain
ones is reported (`lorarar.evaluation.judge.trust.consistency`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from lorarar.datasets import ImageError, Item, load_image, resolve

REWORDED, JPEG, CROP = "reworded", "jpeg", "crop"
_QUALITY = 75  # of a JPEG
_TRIMMED = 1 / 32  # of each side, at each end


def choose_items(items: Sequence[Item], count: int, seed: int = 0) -> list[Item]:
    """`count` items by lot, all where there are fewer."""
    return random.Random(seed).sample(list(items), min(count, len(items)))


def draw_perturbations(items: Sequence[Item], root: Path, folder: Path) -> dict[str, Mapping[str, Path]]:
    """Draws every item's changed images into `folder`, where those that are there are kept.

    Returns:
        By item id and perturbation the file. An item whose image is refused has none: its plain questions say why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Mapping[str, Path]] = {}
    for number, item in enumerate(items):
        files = {JPEG: folder / f"{number}.jpg", CROP: folder / f"{number}.png"}
        try:
            if not all(path.exists() for path in files.values()):
                _draw(load_image(resolve(root, item.path)), files)
            drawn[item.id] = files
        except ImageError:
            continue
    return drawn


def _draw(image: Image.Image, files: Mapping[str, Path]) -> None:
    _save(image, files[JPEG], "JPEG", quality=_QUALITY)
    width, height = image.size
    box = (width * _TRIMMED, height * _TRIMMED, width * (1 - _TRIMMED), height * (1 - _TRIMMED))
    _save(image.resize(image.size, Image.Resampling.BICUBIC, box=box), files[CROP], "PNG", compress_level=1)


def _save(image: Image.Image, path: Path, kind: str, **settings: int) -> None:
    """Whole or not at all: what is there is taken to be whole."""
    part = path.with_suffix(f"{path.suffix}.part")
    image.save(part, kind, **settings)
    part.replace(path)
