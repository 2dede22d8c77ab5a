"""Export of the world's concepts as images in folders and a manifest, as users keep theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from lorarar.storage import write_text
from lorarar.worlds.art.captions import STYLE_TOKEN, content_prompt, style_prompt
from lorarar.worlds.art.world import (
    ONE_IMAGE,
    SPLITS,
    STYLE_IMAGES,
    art_world,
    concept_name,
    content_images,
    style_drawings,
    style_images,
)

Concept = tuple[dict[str, Any], list[NDArray[np.uint8]]]  # the entry of the manifest, and the images


def export_art(folder: Path) -> None:
    """Write `folder/images/<concept>/<i>.webp` and `folder/concepts.yaml`.

    The manifest has two tables of splits: "art", with four images of each style, and "art_one_image", whose test
    styles have one image.
    """
    concepts = [concept for split in SPLITS for concept in _concepts(split)]
    for entry, images in concepts:
        _write_images(folder / "images" / entry["name"], images)
    tables = {"art": _splits(""), "art_one_image": _splits(ONE_IMAGE)}
    manifest = {"concepts": [entry for entry, _ in concepts], "splits": tables}
    write_text(folder / "concepts.yaml", yaml.safe_dump(manifest, sort_keys=False, width=110))


def _concepts(split: str) -> list[Concept]:
    """Return the contents of a split and then its styles; those of the test set also with one image alone."""
    contents, styles = SPLITS[split]
    concepts = [_content(split, index) for index in range(contents)]
    concepts += [_style(split, index, STYLE_IMAGES) for index in range(styles)]
    if split == "test":
        concepts += [_style(split, index, 1, ONE_IMAGE) for index in range(styles)]
    return concepts


def _content(split: str, index: int) -> Concept:
    drawing = art_world().drawings[split][index]
    entry = {
        "name": concept_name(split, "content", index),
        "kind": "content",
        "prompt": content_prompt(drawing),
        "truth": drawing.words,
    }
    return entry | _description(split, f"a {drawing.words}"), content_images(split, index)


def _style(split: str, index: int, images: int, suffix: str = "") -> Concept:
    style = art_world().styles[split][index]
    entry = {
        "name": concept_name(split, "style", index) + suffix,
        "kind": "style",
        "phrase": f"{STYLE_TOKEN} style",
        "captions": [style_prompt(drawing) for drawing in style_drawings(split, index, images)],
        "truth": style.words,
    }
    return entry | _description(split, f"{style.words} style"), style_images(split, index, images)


def _description(split: str, text: str) -> dict[str, str]:
    """Return the description for the base. Test concepts have none, so that training cannot use it."""
    return {} if split == "test" else {"description": text}


def _splits(test_suffix: str) -> dict[str, dict[str, list[str]]]:
    """Return the names of each split's concepts; those of the test styles end in a suffix."""
    table = {}
    for split, (contents, styles) in SPLITS.items():
        suffix = test_suffix if split == "test" else ""
        table[split] = {
            "contents": [concept_name(split, "content", index) for index in range(contents)],
            "styles": [concept_name(split, "style", index) + suffix for index in range(styles)],
        }
    return table


def _write_images(folder: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.webp", lossless=True, quality=100, method=6)
