"""Recipes of the stages, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lorarar.storage import InputPath, NonNegativeInt, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class Shape:
    """Shape of a base's denoiser.

    Attributes:
        denoiser: "unet" is SDXL's, "transformer" SD3's, "flux" FLUX's transformer.
        widths: Channels of the UNet's levels, or the one width of a transformer.
        blocks: Transformer blocks in each of the UNet's attention modules, or in the transformer; of FLUX's, the double
            blocks, of twice as many single ones.
        convolutional: The UNet's first levels without attention; SDXL has one.
        text_widths: Widths of the two text encoders, multiples of 4.
    """

    denoiser: Literal["unet", "transformer", "flux"] = "unet"
    widths: tuple[PositiveInt, ...] = (80, 144)
    blocks: PositiveInt = 1
    convolutional: NonNegativeInt = 0
    text_widths: tuple[PositiveInt, ...] = (48, 64)


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
class AutoencoderRecipe(StageRecipe):
    """How the autoencoder is trained; the settings of a stage come first.

    Attributes:
        widths: Channels of its levels; each level after the first halves width and height.
        channels: Channels of the latents.
        crop: Side of the crops that the first three quarters of the steps take, pixels; none: whole images.
    """

    widths: tuple[PositiveInt, ...] = (16, 32, 64)
    channels: PositiveInt = 16
    crop: PositiveInt | None = None


@dataclass(frozen=True)
class BaseRecipe(StageRecipe):
    """How a base is trained; the settings of a stage come first.

    Attributes:
        shape: Shape of the denoiser.
        parts: Another base, whose frozen autoencoder, tokenizer and text encoders this base takes; none: new ones.
        cooldown: Share of the steps, the last ones, in which the learning rate falls to 0 by a cosine. Before them it
            is constant, so `steps` may be changed until they begin.
        evaluate_every: Steps between two sheets of samples of the running mean of the weights; none: no sheets.
    """

    # New parts: the autoencoder is that of the stage before, and the text encoders learn with the denoiser.

    shape: Shape = field(default_factory=Shape)
    parts: InputPath | None = None
    cooldown: PositiveFloat = 0.95
    evaluate_every: PositiveInt | None = None


@dataclass(frozen=True)
class WorldConfig:
    """`lorarar world`: the stages that make a world's classifier, autoencoder and base.

    Attributes:
        output: Folder for the artefacts.
        runs: Folder for checkpoints.
        base: How the base is trained.
        world: The world: "toy", the shapes of the embedded default, or "art", drawings in the styles of techniques.
        classifier: How the attribute classifier is trained; none where a base takes another's.
        autoencoder: How the autoencoder is trained; none where a base takes another's.
        devices: Processes that train the base, with one thread each on a CPU.
    """

    output: Path
    runs: Path
    base: BaseRecipe
    world: Literal["toy", "art"] = "toy"
    classifier: StageRecipe | None = None
    autoencoder: AutoencoderRecipe | None = None
    devices: PositiveInt = 1


@dataclass(frozen=True)
class EditorConfig:
    """`lorarar analogy base`: a base that edits images, trained from a world's base or from nothing.

    Attributes:
        output: Folder for the editor base.
        runs: Folder for checkpoints and latents.
        recipe: How the denoiser is trained.
        base: UNet of the toy world to start from, whose shape and parts stay; none: a new FLUX transformer of
            recipe.shape, with the autoencoder and the text encoder of recipe.parts.
    """

    output: Path
    runs: Path
    recipe: BaseRecipe
    base: InputPath | None = None
