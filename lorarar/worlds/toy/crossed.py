"""Crossed renders: every content of a split in every style of the split, with known content and style."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.world import concept_name, toy_world


def write_crossed_renders(folder: Path, *, split: str = "validation", members: int = 8, seeds: int = 2) -> Path:
    """Write `folder/CONTENT/STYLE/SEED.png`, 32 x 32 pixels.

    Args:
        folder: Folder for the images.
        split: Split of the world.
        members: Number of contents, and of styles.
        seeds: Number of renders of each pair; they differ in jitter.

    Returns:
        The folder.
    """
    subjects, styles = toy_world().subjects[split][:members], toy_world().styles[split][:members]
    for i, subject in enumerate(subjects):
        for j, style in enumerate(styles):
            place = folder / concept_name(split, "content", i) / concept_name(split, "style", j)
            place.mkdir(parents=True, exist_ok=True)
            for seed in range(seeds):
                pixels: np.ndarray = render(subject, style, seed + seeds * (i * len(styles) + j))
                Image.fromarray(pixels).save(place / f"{seed}.png")
    return folder
