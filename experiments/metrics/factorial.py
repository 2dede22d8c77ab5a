"""LoRAs of the hyper-parameter study: a factorial of rank, steps, rate and number of images.

python experiments/metrics/factorial.py trains the missing LoRAs under runs/metrics_study, one folder per configuration.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lorarar.datasets import Concept, load_concepts, seed_of
from lorarar.diffusion import load_backbone
from lorarar.storage import EMBEDDED
from lorarar.training import Recipe, train_zoo
from lorarar.worlds.toy import STYLE_TOKEN, render, style_of, toy_world

FACTORS: dict[str, tuple[float, ...]] = {
    "rank": (2, 8),
    "steps": (30, 80),
    "rate": (5e-4, 2e-3),
    "images": (1, 2, 4),
}
# Concepts of the validation split. The shipped styles have one image; these styles are rendered here, with the given
# numbers of images.
CONTENTS = ("validation_content_01", "validation_content_02", "validation_content_04", "validation_content_07")
STYLES = {"validation_style_03": 4, "validation_style_04": 5}
RUNS = Path("runs/metrics_study")


def configurations() -> Iterator[dict[str, float]]:
    """Yield every combination of the values of the factors."""
    for values in itertools.product(*FACTORS.values()):
        yield dict(zip(FACTORS, values, strict=True))


def folder_of(configuration: Mapping[str, float]) -> Path:
    """Return the folder of the LoRAs of a configuration."""
    return RUNS / "loras" / "_".join(f"{name}{value:g}" for name, value in configuration.items())


def recipe_of(configuration: Mapping[str, float]) -> Recipe:
    """Return the recipe of a configuration. Alpha equals the rank, so the scale is 1 at every rank."""
    rank = int(configuration["rank"])
    return Recipe(rank, (float(rank),), int(configuration["steps"]), 4, configuration["rate"])


def load_studied() -> dict[str, Concept]:
    """Load the shipped contents, and render the styles with several images whose captions describe each image fully."""
    contents = load_concepts([EMBEDDED / "concepts.yaml"], EMBEDDED / "images", CONTENTS)
    return contents | {name: _style(name, count) for name, count in STYLES.items()}


def _style(name: str, count: int) -> Concept:
    base, look = toy_world().subjects["base"], style_of(name)
    chosen = np.random.default_rng(seed_of(name)).choice(len(base), count, replace=False)
    random, folder = np.random.default_rng(seed_of(name, 1)), RUNS / "references" / name
    folder.mkdir(parents=True, exist_ok=True)
    images, captions = [], []
    for number, subject in enumerate(base[i] for i in chosen):
        images.append(folder / f"{number}.png")
        Image.fromarray(render(subject, look, int(random.integers(2**31)))).save(images[-1])
        captions.append(f"a {subject.words()} in {STYLE_TOKEN} style")
    return Concept(name, "style", f"{STYLE_TOKEN} style", tuple(images), tuple(captions))


def shortened(concept: Concept, images: int) -> Concept:
    """Return a concept with its first images and their captions only."""
    return replace(concept, images=concept.images[:images], captions=concept.captions[:images])


def main() -> None:
    """Train every missing configuration."""
    torch.set_num_threads(1)
    concepts = load_studied()
    backbone = load_backbone(str(EMBEDDED / "base"), device="cpu")
    for configuration in configurations():
        start = time.perf_counter()
        chosen = [shortened(concepts[name], int(configuration["images"])) for name in (*CONTENTS, *STYLES)]
        train_zoo(
            backbone,
            chosen,
            recipe_of(configuration),
            folder=folder_of(configuration),
            runs=RUNS / "checkpoints",
            group=len(chosen),
            checkpoint_every=1000,
        )
        print(folder_of(configuration).name, f"{time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
