"""Recipe of the tiny judge's training, readable without torch."""

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
class Refinement:
    """How the judge is trained on generated images, after the training on renders.

    Attributes:
        generated: Images that the base generates with training LoRAs; the attribute classifier labels them.
        pairs: Pairs of a render and a generated image in the training set, beside as many pairs of renders.
        tower: How the vision tower is trained.
        judge: How everything else is trained, after the tower.
    """

    generated: PositiveInt
    pairs: PositiveInt
    tower: TrainStage
    judge: TrainStage


@dataclass(frozen=True)
class TinyJudgeConfig:
    """`lorarar judge train-tiny`.

    Attributes:
        output: Folder of the judge, in transformers' layout; its card lies beside it.
        world: Folder of the embedded default: base, classifier, concepts and LoRAs.
        runs: Folder for checkpoints and generated images.
        pairs: Pairs of renders in the training set.
        tower: How the vision tower is trained.
        judge: How everything else is trained, after the tower.
        refinement: How both are trained on generated images afterwards; null trains on renders alone.
        rebuilt: Share of the rendered test images that pass through the base's autoencoder, 0 to 1.
        held_out_pairs: Pairs of validation subjects and styles that the numbers on the card come from.
        seed: Seed of the pairs, the initial weights and the steps.
    """

    output: Path
    world: InputPath
    runs: Path
    pairs: PositiveInt
    tower: TrainStage
    judge: TrainStage
    refinement: Refinement | None = None
    rebuilt: NonNegativeFloat = 0.5
    held_out_pairs: PositiveInt = 2000
    seed: int = 0
