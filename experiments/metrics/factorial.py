"""Train the LoRAs of the hyper-parameter study: a factorial of rank, steps, rate and number of images.

python -m experiments.metrics.factorial: trains what is missing under runs/metrics_study, one folder a configuration.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from lorarar.backbone import load_backbone
from lorarar.benchmark.embedded import DATA
from lorarar.concepts import Concept, load_concepts
from lorarar.dreambooth import Recipe
from lorarar.zoo import train_zoo

FACTORS: dict[str, tuple[float, ...]] = {
    "rank": (2, 8),
    "steps": (30, 80, 200),
    "rate": (5e-4, 2e-3),
    "images": (1, 2, 4),
}
# Of the validation split; only these two styles have four images.
CONTENTS = ("validation_content_01", "validation_content_02", "validation_content_04", "validation_content_07")
STYLES = ("validation_style_03", "validation_style_04")
RUNS = Path("runs/metrics_study")


def configurations() -> Iterator[dict[str, float]]:
    """Every combination of the factors' values."""
    for values in itertools.product(*FACTORS.values()):
        yield dict(zip(FACTORS, values, strict=True))


def folder_of(configuration: Mapping[str, float]) -> Path:
    """Where the LoRAs of a configuration lie."""
    return RUNS / "loras" / "_".join(f"{name}{value:g}" for name, value in configuration.items())


def recipe_of(configuration: Mapping[str, float]) -> Recipe:
    """The recipe of a configuration; alpha is the rank, so that a delta's scale is 1 at every rank."""
    rank = int(configuration["rank"])
    return Recipe(rank, (float(rank),), int(configuration["steps"]), 4, configuration["rate"])


def shortened(concept: Concept, images: int) -> Concept:
    """A concept's first images and their captions."""
    return replace(concept, images=concept.images[:images], captions=concept.captions[:images])


def main() -> None:
    """Train every configuration that is missing."""
    torch.set_num_threads(1)
    concepts = load_concepts([DATA / "concepts.yaml"], DATA / "images", [*CONTENTS, *STYLES])
    backbone = load_backbone(str(DATA / "base"))
    for configuration in sorted(configurations(), key=lambda one: one["steps"]):  # short ones first
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
