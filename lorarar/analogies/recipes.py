"""Recipes of bases and of their training, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lorarar.mergers.optimised import MergerRecipe
from lorarar.storage import Device, Dtype, InputPath, ModelName, PositiveFloat, PositiveInt
from lorarar.training import WandbMode


@dataclass(frozen=True)
class BasisConfig:
    """A basis of LoRAs and its router; the defaults are the paper's (LoRWeB, section 3).

    Attributes:
        count: LoRAs in the basis, N.
        rank: Rank of each, r.
        alpha: alpha of each; the scale of its delta is alpha / rank.
        width: Width of queries and keys, d.
        router: What the query is made of: "images", the three images one by one; "grid", one image of the three;
            "task", a learned vector for each transformation of the training set; "own": no query, each of these has
            one LoRA of the basis for itself; "uniform", nothing: all weights are 1 / N, so that the basis is one LoRA
            of rank N r.
        gate: How products of query and keys become weights: softmax, or tanh of each.
        targets: Ends of the paths of the denoiser's linear layers that are adapted.
        encoder: Frozen encoder of the router, see `lorarar.evaluation.metrics`.
        encoder_path: Its weights; null where it needs none.
    """

    count: PositiveInt = 32
    rank: PositiveInt = 4
    alpha: PositiveFloat = 4.0
    width: PositiveInt = 128
    router: Literal["images", "grid", "task", "own", "uniform"] = "images"
    gate: Literal["softmax", "tanh"] = "softmax"
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    encoder: str = "tower"
    encoder_path: str | None = None


@dataclass(frozen=True)
class AnalogyConfig:
    """`lorarar analogy train`.

    Attributes:
        base: Folder or hub id of an editing base: one that `lorarar analogy base` made, or FLUX.1-Kontext.
        runs: Folder for checkpoints and the basis.
        basis: The basis and its router.
        recipe: How they are optimised.
        examples: Folder of training analogies, TASK/NAME/before.png, after.png, image.png and target.png; null for
            the toy world's transformations by program.
        analogies: Analogies that are drawn, where a program draws them.
        part: Transformations that are drawn: "train", or for a ceiling "types", the held-out ones of the tests.
        batch: Analogies in a step.
        noisiest: Share of the timesteps, the noisiest, that steps draw. Where little noise is left, the base sees the
            target, and a LoRA learns nothing about the change.
        layout: How the base sees an analogy: "images", three condition images; "grid", one image of before,
            after, image and target, as in the paper.
        prompt: Prompt of every analogy.
        seed: Seed of the analogies, the initial weights and the steps.
        checkpoint_every: Steps between checkpoints.
        wandb: Mode of Weights & Biases.
        device: Where to compute: cpu, cuda, mps, or auto for the best one here.
        dtype: Type of the frozen base, fp32 or bf16; what is trained stays in fp32.
        gradient_checkpointing: Whether the base computes activations again in backward, to save memory.
    """

    base: ModelName
    runs: Path
    recipe: MergerRecipe
    basis: BasisConfig = field(default_factory=BasisConfig)
    examples: InputPath | None = None
    analogies: PositiveInt = 6000
    part: Literal["train", "types"] = "train"
    batch: PositiveInt = 6
    noisiest: PositiveFloat = 1.0
    layout: Literal["images", "grid"] = "images"
    prompt: str = "a"
    seed: int = 0
    checkpoint_every: PositiveInt = 100
    wandb: WandbMode = "offline"
    device: Device = "auto"
    dtype: Dtype = "fp32"
    gradient_checkpointing: bool = False
