"""Configurations of the commands that train: dataclasses that `lorarar.storage.load_config` fills from YAML.

Torch is not needed to read them.
"""

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
    """`lorarar zoo`, `lorarar dreambooth` and `lorarar synthesise`.

    Attributes:
        base: Folder or hub id of the base model.
        manifests: YAML files with concepts.
        images: Folder that holds a folder of images for each concept.
        splits: YAML file with splits.
        split: Name of the splits in that file whose concepts are trained.
        output: Folder for the LoRAs.
        runs: Folder for checkpoints.
        recipe: How each LoRA is trained.
        group: LoRAs trained at once.
        device: Where to compute.
        precision: Lightning's name; the mixed precision keeps the frozen base in the short type.
        gradient_checkpointing: Whether the base computes activations again in backward, to save memory.
        checkpoint_every: Steps between checkpoints.
        concept: Name of the one concept that `lorarar dreambooth` trains.
        sampling: How `lorarar synthesise` samples reference images.
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
    """`lorarar train`.

    Attributes:
        base: Folder or hub id of the base model.
        manifests: YAML files with concepts.
        images: Folder that holds a folder of images for each concept.
        splits: YAML file with splits.
        split: Name of the splits in that file.
        loras: Folder with the zoo's LoRAs.
        runs: Folder for checkpoints and the merger.
        merger: Kind of the learned merger.
        recipe: How the merger is optimised.
        loss_weights: Weights of the objective's terms.
        options: Settings of the merger itself.
        init: File of a trained merger to start from, also one for another base; its own settings then apply.
        pairs: Pairs in a step.
        images_per_step: Images of each concept in a step.
        synthetic_pairs: Training pairs with synthetic images, for the term loss_weights.distillation; 0 is all pairs.
        sampling: How synthetic images are sampled.
        weight_jitter: How far training LoRAs' weights vary: times exp(u), u uniform from -weight_jitter to it.
        seed: Seed of the merger's initial weights and of the training batches.
        monitor: Validated value that chooses the merger.
        mode: Whether a smaller (min) or a larger (max) value is better.
        validate_every: Steps between validations.
        patience: Validations without improvement before training stops.
        classifier: File of the toy world's attribute classifier, which scores validation pairs' images; null for none.
        seeds: Noise seeds of the images that the classifier scores.
        wandb: Mode of Weights & Biases.
        device: Where to compute.
        precision: Lightning's name; the mixed precision keeps the frozen base in the short type.
        gradient_checkpointing: Whether the base computes activations again in backward, to save memory.
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
