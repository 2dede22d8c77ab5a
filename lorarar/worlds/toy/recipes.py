"""Recipes of the embedded default's stages, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lorarar.storage import InputPath, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class Shape:
    """Shape of a base's denoiser.

    Attributes:
        denoiser: SDXL's UNet, or SD3's transformer.
        widths: Channels of the UNet's two levels, or the one width of the transformer.
        blocks: Transformer blocks in each of the UNet's attention modules, or in the transformer.
    """

    denoiser: Literal["unet", "transformer"] = "unet"
    widths: tuple[PositiveInt, ...] = (80, 144)
    blocks: PositiveInt = 1


@dataclass(frozen=True)
class StageRecipe:
    """How a stage is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Images in a step of each process.
        learning_rate: Highest rate of AdamW.
        renders: Images in the training set.
        seed: Seed of the training set, the initial weights and the steps.
    """

    steps: PositiveInt
    batch: PositiveInt
    learning_rate: PositiveFloat
    renders: PositiveInt
    seed: int = 0


@dataclass(frozen=True)
class BaseRecipe(StageRecipe):
    """How a base is trained; the settings of a stage come first.

    Attributes:
        shape: Shape of the denoiser.
        parts: Another base, whose frozen autoencoder, tokenizer and text encoders this base takes; none: new ones.
    """

    # New parts: the autoencoder is that of the stage before, and the text encoders learn with the denoiser.

    shape: Shape = field(default_factory=Shape)
    parts: InputPath | None = None


@dataclass(frozen=True)
class WorldConfig:
    """`lorarar world`: the stages that make the embedded default, except its zoo and its mergers.

    Attributes:
        output: Folder for the artefacts.
        runs: Folder for checkpoints.
        base: How the base is trained.
        classifier: How the attribute classifier is trained; none where a base takes another's.
        autoencoder: How the autoencoder is trained; none where a base takes another's.
        devices: Processes that train the base, with one thread each on a CPU.
    """

    output: Path
    runs: Path
    base: BaseRecipe
    classifier: StageRecipe | None = None
    autoencoder: StageRecipe | None = None
    devices: PositiveInt = 1
