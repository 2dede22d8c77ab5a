"""Recipes of the tiny judge's and the describer's training, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorarar.storage import InputPath, NonNegativeFloat, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class TrainStage:
    """How a part of the judge is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Samples in a step.
        learning_rate: Highest rate of AdamW.
    """

    steps: PositiveInt
    batch: PositiveInt
    learning_rate: PositiveFloat


@dataclass(frozen=True)
class DescriberConfig:
    """`lorarar judge train-describer`.

    Attributes:
        output: Folder of the describer, in transformers' layout; its card lies beside it.
        judge: Embedded judge, whose vision tower it has.
        base: Embedded base; its autoencoder blurs a share of the images.
        runs: Folder for checkpoints.
        pairs: Pairs of images in the training set.
        training: How everything but the tower is trained.
        rebuilt: Share of the pairs whose second image passes through the autoencoder, 0 to 1.
        held_out_pairs: Pairs of validation subjects and styles that the numbers on the card come from.
        seed: Seed of the pairs, the initial weights and the steps.
    """

    output: Path
    judge: InputPath
    base: InputPath
    runs: Path
    pairs: PositiveInt
    training: TrainStage
    rebuilt: NonNegativeFloat = 0.5
    held_out_pairs: PositiveInt = 200
    seed: int = 0


@dataclass(frozen=True)
class TinyJudgeConfig:
    """`lorarar judge train-tiny`.

    Attributes:
        output: Folder of the judge, in transformers' layout; its card lies beside it.
        base: Embedded base; its autoencoder blurs a share of the test images.
        runs: Folder for checkpoints.
        pairs: Pairs of images in the training set.
        tower: How the vision tower is trained.
        judge: How everything else is trained, after the tower.
        rebuilt: Share of the test images that pass through the autoencoder, 0 to 1.
        held_out_pairs: Pairs of validation subjects and styles that the numbers on the card come from.
        seed: Seed of the pairs, the initial weights and the steps.
    """

    output: Path
    base: InputPath
    runs: Path
    pairs: PositiveInt
    tower: TrainStage
    judge: TrainStage
    rebuilt: NonNegativeFloat = 0.5
    held_out_pairs: PositiveInt = 2000
    seed: int = 0
