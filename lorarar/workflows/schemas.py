"""Configurations of the commands that train: dataclasses that `lorarar.storage.load_config` fills from YAML.

Torch is not needed to read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from lorarar.diffusion import SAMPLING, Sampling
from lorarar.hypernetwork import NETWORK_KINDS
from lorarar.mergers import LossWeights
from lorarar.mergers.optimised import MergerRecipe
from lorarar.storage import Device, Dtype, InputPath, ModelName, NameIn, NonNegativeFloat, NonNegativeInt, PositiveInt
from lorarar.storage.units import WORKERS, Engine, Workers
from lorarar.training import Recipe, SavePrecision, Strategy, WandbMode


@dataclass(frozen=True)
class NamedRecipe:
    """One of the recipes of a zoo whose LoRAs are trained in different ways.

    Attributes:
        name: Its name, which the LoRAs' cards state.
        settings: Settings in place of those of `ZooConfig.recipe`.
        splits: Splits whose LoRAs may have it; empty for all.
        weight: How often it is drawn: as often as this many recipes of weight 1.
        format: Dialect of the files, such as "diffusers"; null for the base's usual one.
        save_precision: Type of the weights in the files; null for the zoo's.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    weight: PositiveInt = 1
    format: str | None = None
    save_precision: SavePrecision | None = None


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
        recipes: Recipes in place of the one for all; each LoRA gets one of them by its name.
        group: LoRAs trained at once.
        device: Where to compute: cpu, cuda, mps, or auto for the best one here.
        dtype: Type of the frozen base: fp32, bf16, or fp16 with a scaled loss, which needs CUDA; what is trained stays
            in fp32.
        gradient_checkpointing: Whether the base computes activations again in backward, to save memory.
        accumulate: Parts in which a step is computed one after another, to save memory; the result is the same.
        latents: Folder of encoded images, which runs share; null encodes them in each run.
        offload: Whether text encoders and autoencoder lie on the CPU while they are not used.
        checkpoint_every: Steps between checkpoints.
        save_precision: Type of the weights in the LoRAs' files.
        concept: Name of the one concept that `lorarar dreambooth` trains.
        sampling: How `lorarar synthesise` samples reference images.
        engine: Where groups of LoRAs are trained: local (in this process), ray or slurm.
        workers: The workers of ray and slurm.
    """

    base: ModelName
    manifests: tuple[InputPath, ...]
    images: InputPath
    splits: InputPath
    split: str
    output: Path
    runs: Path
    recipe: Recipe
    recipes: list[NamedRecipe] = field(default_factory=list)
    group: PositiveInt = 1
    device: Device = "auto"
    dtype: Dtype = "fp32"
    gradient_checkpointing: bool = False
    accumulate: PositiveInt = 1
    latents: Path | None = None
    offload: bool = False
    checkpoint_every: PositiveInt = 100
    save_precision: SavePrecision = "fp16"
    concept: str | None = None
    sampling: Sampling = SAMPLING
    engine: Engine = "local"
    workers: Workers = WORKERS


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
        device: Where to compute: cpu, cuda, mps, or auto for the best one here.
        dtype: Type of the frozen base: fp32, bf16, or fp16 with a scaled loss, which needs CUDA; what is trained stays
            in fp32.
        gradient_checkpointing: Whether the base computes activations again in backward, to save memory.
        accumulate: Parts in which a step is computed one after another, to save memory; the result is the same.
        latents: Folder of encoded images, which runs share; null encodes them in each run.
        offload: Whether text encoders and autoencoder lie on the CPU while they are not used.
        devices: Processes on each machine, one a device; each takes `pairs` pairs in a step.
        num_nodes: Machines; each starts the command with the variables of its launcher (MASTER_ADDR, NODE_RANK).
        strategy: How processes share the work: ddp, or fsdp, which is not verified on more than one GPU; auto is ddp
            for several.
    """

    base: ModelName
    manifests: tuple[InputPath, ...]
    images: InputPath
    splits: InputPath
    split: str
    loras: InputPath
    runs: Path
    merger: Annotated[str, NameIn(NETWORK_KINDS)]
    recipe: MergerRecipe
    loss_weights: LossWeights
    options: dict[str, Any] = field(default_factory=dict)
    init: InputPath | None = None
    pairs: PositiveInt = 1
    images_per_step: PositiveInt = 1
    synthetic_pairs: NonNegativeInt = 0
    sampling: Sampling = SAMPLING
    weight_jitter: NonNegativeFloat = 0.0
    seed: int = 0
    monitor: str = "validation/loss"
    mode: Literal["min", "max"] = "min"
    validate_every: PositiveInt = 100
    patience: PositiveInt = 10
    classifier: InputPath | None = None
    seeds: tuple[int, ...] = (0,)
    wandb: WandbMode = "offline"
    device: Device = "auto"
    dtype: Dtype = "fp32"
    gradient_checkpointing: bool = False
    accumulate: PositiveInt = 1
    latents: Path | None = None
    offload: bool = False
    devices: PositiveInt = 1
    num_nodes: PositiveInt = 1
    strategy: Strategy = "auto"
