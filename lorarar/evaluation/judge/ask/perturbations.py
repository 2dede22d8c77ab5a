"""Perturbations: changes of a question that should not change its answer (other words, JPEG, a trimmed image).

Some items are asked about under perturbations, too. Such questions do not vote; the report says how often their answers
agree with the plain ones (`lorarar.evaluation.judge.trust.consistency`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from lorarar.datasets import ImageError, Item, load_image, resolve_path
from lorarar.storage import atomic_write

REWORDED, JPEG, CROP = "reworded", "jpeg", "crop"
_QUALITY = 75  # of a JPEG
_TRIMMED = 1 / 32  # of each side, at each end


def choose_items(items: Sequence[Item], count: int, seed: int = 0) -> list[Item]:
    """Draw `count` items at random, or all where there are fewer."""
    return random.Random(seed).sample(list(items), min(count, len(items)))


def draw_perturbations(items: Sequence[Item], root: Path, folder: Path) -> dict[str, Mapping[str, Path]]:
    """Draw the perturbed images of all items into a folder; files that exist are kept.

    Args:
        root: The items' paths are relative to it.

    Returns:
        For each item id the files by perturbation. An item with a refused image is left out: its plain questions give
        the reason.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Mapping[str, Path]] = {}
    for number, item in enumerate(items):
        files = {JPEG: folder / f"{number}.jpg", CROP: folder / f"{number}.png"}
        try:
            if not all(path.exists() for path in files.values()):
                _draw(load_image(resolve_path(root, item.path)), files)
            drawn[item.id] = files
        except ImageError:
            continue
    return drawn


def _draw(image: Image.Image, files: Mapping[str, Path]) -> None:
    _save(image, files[JPEG], "JPEG", quality=_QUALITY)
    width, height = image.size
    box = (width * _TRIMMED, height * _TRIMMED, width * (1 - _TRIMMED), height * (1 - _TRIMMED))
    _save(image.resize(image.size, Image.Resampling.BICUBIC, box=box), files[CROP], "PNG", compress_level=1)


def _save(image: Image.Image, path: Path, format: str, **settings: int) -> None:
    with atomic_write(path, force=True) as temporary:  # a file that exists counts as complete
        image.save(temporary, format, **settings)
