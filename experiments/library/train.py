"""Train LoRAs of 24 styles and 12 contents of the embedded world by several recipes, seven of each style.

    python experiments/library/train.py RECIPE..

Every LoRA has images, initial factors and noise of its own; those of the recipe "shared" have one start in common. The
files go to runs/library/loras, their images to runs/library/images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from lorarar.datasets import Concept, seed_of
from lorarar.diffusion import load_backbone
from lorarar.training import Recipe, ZooTraining, fit, write_unit
from lorarar.worlds.toy import content_prompt, neutral_looks, render, style_prompt, toy_world

RUNS = Path("runs/library")
LORAS = RUNS / "loras"
STYLES = [("test", i) for i in range(8)] + [("validation", i) for i in range(8)] + [("train", i) for i in range(8)]
CONTENTS = [("test", i) for i in range(6)] + [("validation", i) for i in range(6)]
GROUP = 24  # LoRAs in one batch


class Way(NamedTuple):
    """One way to train.

    Attributes:
        recipe: The recipe.
        images: Images of each LoRA.
        shared_start: Whether all LoRAs start from the same factors.
        contents: Whether contents are trained too.
        copies: LoRAs of each style.
    """

    recipe: Recipe
    images: int
    shared_start: bool = False
    contents: bool = False
    copies: int = 2


WAYS = {
    "own": Way(Recipe(rank=8, alphas=(8,), steps=200, images=4, learning_rate=1.5e-3, seed=1), 2, contents=True),
    "shared": Way(Recipe(rank=8, alphas=(8,), steps=100, images=1, learning_rate=2.5e-3), 2, shared_start=True),
    "loha": Way(
        Recipe(rank=4, alphas=(4,), steps=100, images=1, learning_rate=6e-3, seed=4, algorithm="loha"), 2, copies=1
    ),
    "lokr": Way(
        Recipe(rank=8, alphas=(8,), steps=80, images=1, learning_rate=8e-3, seed=5, algorithm="lokr", factor=8),
        2,
        copies=1,
    ),
    "short": Way(Recipe(rank=4, alphas=(8,), steps=60, images=1, learning_rate=4e-3, seed=3), 1, copies=1),
}


def main(names: Sequence[str]) -> None:
    """Train the LoRAs of some ways; those that are there are skipped."""
    torch.set_num_threads(1)
    backbone = load_backbone("data/embedded/base", device="cpu")
    for name in names:
        way = WAYS[name]
        concepts = [c for c in concepts_of(name, way) if not (LORAS / f"{c.name}.safetensors").exists()]
        for start in range(0, len(concepts), GROUP):
            members = concepts[start : start + GROUP]
            module = ZooTraining(backbone, members, way.recipe)
            if way.shared_start:
                share_start(module)
            run = RUNS / "checkpoints" / f"{name}_{members[0].name}"
            fit(module, steps=way.recipe.steps, folder=run, accelerator="cpu", stage=f"train {name} {start}")
            LORAS.mkdir(parents=True, exist_ok=True)
            for number, concept in enumerate(members):
                write_unit(module.units, number, concept, LORAS / f"{concept.name}.safetensors")


def share_start(module: ZooTraining) -> None:
    """Give all LoRAs of a group the same initial factors."""
    with torch.no_grad():
        for layer, parts in zip(module.units.layers, module.units.parts, strict=True):
            down, random = parts["down"], torch.Generator().manual_seed(seed_of("shared start", layer.path))
            bound = down.shape[-1] ** -0.5
            down.copy_((torch.rand(down.shape[1:], generator=random) * 2 - 1) * bound)


def concepts_of(name: str, way: Way) -> list[Concept]:
    """Return the concepts of a way with rendered images of their own."""
    styles = [
        style_concept(f"{name}{copy}", split, index, way.images)
        for split, index in STYLES
        for copy in range(way.copies)
    ]
    contents = [content_concept(name, split, index, way.images) for split, index in CONTENTS] if way.contents else []
    return styles + contents


def style_concept(name: str, split: str, index: int, count: int) -> Concept:
    """Return a style with images of its own: other subjects and other positions."""
    style, base = toy_world().styles[split][index], toy_world().subjects["base"]
    label = f"{name}_{split}_style_{index:02d}"
    random = np.random.default_rng(seed_of("library", label))
    subjects = [base[i] for i in random.permutation(len(base))[:count]]
    images = write_images(label, [render(s, style, int(random.integers(2**31))) for s in subjects])
    return Concept(label, "style", "szn style", images, tuple(style_prompt(s) for s in subjects))


def content_concept(name: str, split: str, index: int, count: int) -> Concept:
    """Return a content with images of its own in neutral looks."""
    subject = toy_world().subjects[split][index]
    label = f"{name}0_{split}_content_{index:02d}"
    random = np.random.default_rng(seed_of("library", label))
    looks = [neutral_looks()[i] for i in random.permutation(len(neutral_looks()))[:count]]
    images = write_images(label, [render(subject, look, int(random.integers(2**31))) for look in looks])
    return Concept(label, "content", content_prompt(subject), images, (content_prompt(subject),) * count)


def write_images(label: str, images: Sequence[np.ndarray]) -> tuple[Path, ...]:
    """Write images as PNG; return their paths."""
    folder = RUNS / "images" / label
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{i}.png" for i in range(len(images)))
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


if __name__ == "__main__":
    main(sys.argv[1:] or list(WAYS))
