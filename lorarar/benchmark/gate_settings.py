"""Settings of `lorarar benchmark gates`, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorarar.storage import EMBEDDED, InputPath, PositiveFloat, PositiveInt


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
class GatesConfig:
    """`lorarar benchmark gates`.

    Attributes:
        output: Folder for results.json and the contact sheet.
        fit: How coefficients are fitted to true renders.
        free: How free LoRAs of rank 2 r are fitted.
        split: Split whose pairs are fitted and compared.
        seeds: Noise seeds.
        group: Pairs that are fitted at once.
        data: Folder of the embedded default.
    """

    output: Path
    fit: Fit
    free: Fit
    split: str = "test"
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    group: PositiveInt = 8
    data: InputPath = EMBEDDED
