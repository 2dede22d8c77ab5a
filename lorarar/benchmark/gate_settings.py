"""Settings of `lorarar benchmark gates`, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lorarar.storage import EMBEDDED, InputPath, PositiveFloat, PositiveInt

GatePart = Literal["classifier", "autoencoder", "base", "loras", "room"]


@dataclass(frozen=True)
class Fit:
    """How coefficients, or a free LoRA, are fitted to a pair's renders with Adam.

    Attributes:
        steps: Optimiser steps; the learning rate falls linearly to 0 over them.
        learning_rate: Learning rate of the first step.
        images: Renders in a step.
        seed: Seed of renders, timesteps and noise.
    """

    steps: PositiveInt
    learning_rate: PositiveFloat
    images: PositiveInt
    seed: int = 0


@dataclass(frozen=True)
class Bounds:
    """What the gates ask for, as shares of 1.

    Attributes:
        metrics: Scores of true renders and reconstructions.
        renders: Least score of true renders.
        reconstruction: Most that the autoencoder may cost.
        category: How often the base draws the right category, at least.
        alone: Least score of a LoRA alone on its own prompts.
        over_base: Least gain of a LoRA over the base on the same prompts.
    """

    metrics: tuple[str, ...] = ("joint",)
    renders: float = 0.98
    reconstruction: float = 0.01
    category: float = 0.95
    alone: float = 0.90
    over_base: float = 0.30


@dataclass(frozen=True)
class GatesConfig:
    """`lorarar benchmark gates`.

    Attributes:
        output: Folder for results.json and the contact sheet.
        fit: How coefficients are fitted to true renders.
        free: How free LoRAs of rank 2 r are fitted.
        split: Split whose pairs are fitted and compared.
        seeds: Noise seeds.
        group: Pairs that are fitted at once.
        data: Folder of the world's artefacts.
        splits: Name of its splits in its concepts.yaml.
        parts: What is measured: parts that are not made yet can be left out. "loras" are LoRAs alone, "room" is the
            room between the ceiling and methods without a network.
        autoencoder: Folder of the autoencoder, where there is no base yet; none: the base's.
        bounds: What the gates ask for.
    """

    output: Path
    fit: Fit
    free: Fit
    split: str = "test"
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    group: PositiveInt = 8
    data: InputPath = EMBEDDED
    splits: str = "embedded"
    parts: tuple[GatePart, ...] = ("classifier", "autoencoder", "base", "loras", "room")
    autoencoder: InputPath | None = None
    bounds: Bounds = field(default_factory=Bounds)
