"""Configurations of the commands that train: dataclasses that `lorarar.storage.load_config` fills from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lorarar.diffusion import SAMPLING, Sampling
from lorarar.mergers import LossWeights
from lorarar.mergers.optimised import MergerRecipe
from lorarar.storage import Device, Precision
from lorarar.training import Recipe, WandbMode


@dataclass(frozen=True)
class ZooConfig:
    """``lorarar zoo`` and ``lorarar dreambooth``.

    Attributes:
        base: folder or hub id of the base model.
        manifests: YAML files with concepts.
        images: folder that holds a folder of images for each concept.
        splits: YAML file with splits, and split: which of its named splits; their concepts are trained.
        output: folder for the LoRAs.
        runs: folder for checkpoints.
        group: LoRAs trained at once.
        precision: Lightning's name; mixed keeps the frozen base in the short type.
        sampling: how `lorarar synthesise` draws reference images.
    """

    base: str
    manifests: tuple[Path, ...]
    images: Path
    splits: Path
    split: str
    output: Path
    runs: Path
    recipe: Recipe
    group: int = 1
    device: Device = "cpu"
    precision: Precision = "32-true"
    gradient_checkpointing: bool = False
    checkpoint_every: int = 100
    concept: str | None = None
    sampling: Sampling = SAMPLING


@dataclass(frozen=True)
class TrainConfig:
    """``lorarar train``.

    Attributes:
        images: folder that holds a folder of images for each concept.
        loras: folder with the zoo's LoRAs.
        merger: which learned merger; ``options`` are its own settings.
        init: a trained merger's file to go on from, perhaps one for another base; its own settings then hold.
        pairs: pairs a step.
        images_per_step: images a step of each concept.
        monitor: the validated value that chooses the merger, and mode: whether less or more is better.
        validate_every: steps between validations.
        patience: validations without improvement before training stops.
        classifier: the toy world's attribute reader, which then scores validation pairs by their images; or none.
        seeds: noise seeds of the images that the reader scores.
        synthetic_pairs: training pairs that the base draws from their descriptions, for the term ``weights.distillation``; 0 for
            all of them; ``sampling`` says how.
        weight_jitter: how far the training LoRAs' strengths vary; see `lorarar.training.pairs.PairData`.
    """

    base: str
    manifests: tuple[Path, ...]
    images: Path
    splits: Path
    split: str
    loras: Path
    runs: Path
    merger: Literal["paper", "layerwise", "constant"]
    recipe: MergerRecipe
    loss_weights: LossWeights
    options: dict[str, Any] = field(default_factory=dict)
    init: Path | None = None
    pairs: int = 1
    images_per_step: int = 1
    synthetic_pairs: int = 0
    sampling: Sampling = SAMPLING
    weight_jitter: float = 0.0
    seed: int = 0
    monitor: str = "validation/loss"
    mode: Literal["min", "max"] = "min"
    validate_every: int = 100
    patience: int = 10
    classifier: Path | None = None
    seeds: tuple[int, ...] = (0,)
    wandb: WandbMode = "offline"
    device: Device = "cpu"
    precision: Precision = "32-true"
    gradient_checkpointing: bool = False
