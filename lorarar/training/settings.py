"""Settings of training, readable without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lorarar.storage import (
    ConfigError,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    join_mistakes,
    stated,
)

Strategy = Literal["auto", "ddp", "fsdp"]
WandbMode = Literal["offline", "online", "disabled"]
AlgorithmName = Literal["lora", "locon", "loha", "lokr", "dora", "ia3", "diag-oft", "boft", "glora", "full"]
Preset = Literal["attn-only", "attn-mlp", "full"]
Schedule = Literal["constant", "linear", "cosine"]
SavePrecision = Literal["fp16", "bf16", "fp32"]

# The settings that not every algorithm reads, by the algorithms that do.
_READ: Mapping[AlgorithmName, tuple[str, ...]] = {
    "lora": ("rslora", "network_dropout"),
    "locon": ("rslora", "network_dropout", "conv_rank", "conv_alpha", "tucker"),
    "loha": ("rslora", "conv_rank", "conv_alpha", "tucker"),
    "lokr": ("rslora", "conv_rank", "conv_alpha", "tucker", "factor", "decompose_both", "full_matrix"),
    "dora": ("rslora", "conv_rank", "conv_alpha"),
    "glora": ("rslora", "conv_rank", "conv_alpha"),
    "ia3": ("on_input",),
    "diag-oft": ("constraint", "rescaled"),
    "boft": ("constraint", "rescaled"),
    "full": (),
}


@dataclass(frozen=True)
class Recipe:
    """How each LoRA is trained.

    Attributes:
        rank: Rank of each LoRA; for diag-oft and boft the largest size of a block.
        alphas: A LoRA's alpha is one of these, by its concept's name; the scale of its delta is alpha / rank.
        steps: Optimiser steps of the longest training.
        images: Images in a step, chosen from the concept's own with their captions.
        learning_rate: Rate of AdamW, at its highest.
        weight_decay: Weight decay of AdamW.
        clip: Largest norm of a LoRA's gradient.
        targets: Ends of the paths of the denoiser's layers that are trained.
        seed: Seed of the initial factors, the images, the timesteps and the noise.
        lengths: A LoRA is trained for one of these shares of `steps`, by its concept's name.
        algorithm: Form of the delta. With lora, locon trains convolutions too; dora is lora with a learned magnitude.
        preset: Layers in place of `targets`: attention, all of the transformer blocks, or these and the convolutions.
        text_encoders: Whether the layers of the text encoders are trained too, as the preset says.
        text_encoder_learning_rate: Their rate; null for `learning_rate`.
        conv_rank: Rank for convolutions larger than 1 x 1; null for `rank`.
        conv_alpha: Alpha for these; null for the LoRA's alpha.
        rslora: Whether the scale is alpha / sqrt(rank).
        tucker: Whether convolutions have a core, a factor for the kernel alone (Tucker decomposition).
        factor: lokr: size of the first Kronecker factor; -1 for the largest that is not above the second.
        decompose_both: lokr: whether the first factor has a low rank too.
        full_matrix: lokr: whether both factors have full rank; the rank and alpha then have no effect.
        constraint: diag-oft and boft: largest norm of the rotation, as a share of a layer's rows; 0 for no limit.
        rescaled: diag-oft and boft: whether each row has a learned length.
        on_input: ia3: whether the factors belong to input channels rather than rows.
        network_dropout: lora and locon: share of the numbers between the factors that each step leaves out; the others
            are scaled up.
        rank_dropout: Share of ranks, or of rows where a delta has no factors, that each step leaves out.
        module_dropout: Share of layers that each step leaves out.
        schedule: Course of the rate after the warm-up: constant, or down to 0 in a line or half a cosine.
        warmup_steps: Steps in which the rate rises from 0.
        min_snr_gamma: Limit of the signal-to-noise ratio in the weights of timesteps (arXiv 2303.09556); null for equal
            weights.
        prior_images: Images of each concept's class that the base samples before training, for prior preservation
            (arXiv 2208.12242); each step then sees as many of these as of the concept. 0 is without.
        prior_loss_weight: Weight of their loss.
        eight_bit: Whether AdamW keeps its state in 8 bits (bitsandbytes).
    """

    rank: PositiveInt
    alphas: tuple[PositiveFloat, ...]
    steps: PositiveInt
    images: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat = 1e-4
    clip: PositiveFloat = 1.0
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    seed: int = 0
    lengths: tuple[PositiveFloat, ...] = (1.0,)
    algorithm: AlgorithmName = "lora"
    preset: Preset | None = None
    text_encoders: bool = False
    text_encoder_learning_rate: PositiveFloat | None = None
    conv_rank: PositiveInt | None = None
    conv_alpha: PositiveFloat | None = None
    rslora: bool = False
    tucker: bool = False
    factor: int = -1
    decompose_both: bool = False
    full_matrix: bool = False
    constraint: NonNegativeFloat = 0.0
    rescaled: bool = False
    on_input: bool = False
    network_dropout: NonNegativeFloat = 0.0
    rank_dropout: NonNegativeFloat = 0.0
    module_dropout: NonNegativeFloat = 0.0
    schedule: Schedule = "constant"
    warmup_steps: NonNegativeInt = 0
    min_snr_gamma: PositiveFloat | None = None
    prior_images: NonNegativeInt = 0
    prior_loss_weight: PositiveFloat = 1.0
    eight_bit: bool = False

    # Several alphas and lengths make a zoo whose LoRAs differ in the size of their deltas, as downloaded ones do.

    def steps_of(self, name: str) -> int:
        """Return the optimiser steps of a concept's LoRA."""
        return round(self.steps * _choose(self.lengths, "length", name))

    def scale(self, name: str, *, convolution: bool = False) -> float:
        """Return alpha / rank of a concept's LoRA, or alpha / sqrt(rank) of rsLoRA.

        Args:
            convolution: Whether the layer is a convolution larger than 1 x 1.
        """
        alpha = (self.conv_alpha if convolution else None) or _choose(self.alphas, "alpha", name)
        rank = self.rank_of(convolution)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def rank_of(self, convolution: bool) -> int:
        """Return the rank for a convolution larger than 1 x 1, or for any other layer."""
        return (self.conv_rank if convolution else None) or self.rank

    def rate_factor(self, step: int, steps: int) -> float:
        """Return the share of the learning rate that a step of a training of `steps` steps takes."""
        if step < self.warmup_steps:
            return step / self.warmup_steps
        if self.schedule == "constant":
            return 1.0
        progress = (step - self.warmup_steps) / max(1, steps - self.warmup_steps)
        return 1 - progress if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))


def check_recipe(recipe: Recipe) -> None:
    """Check what a recipe's settings say about each other.

    Raises:
        ConfigError: They do not fit; the message names every mistake.
    """
    mistakes = list(find_recipe_mistakes(recipe))
    if mistakes:
        raise ConfigError(join_mistakes(mistakes))


def find_recipe_mistakes(recipe: Recipe) -> Iterator[str]:
    """Yield every mistake that shows without a base."""
    name = recipe.algorithm
    for key in sorted(set().union(*_READ.values()) & set(stated(recipe)) - set(_READ[name])):
        readers = ", ".join(algorithm for algorithm, keys in _READ.items() if key in keys)
        yield f"expected settings of the algorithm {name}, found recipe.{key}, which {readers} read: take it out"
    if name == "lora" and recipe.preset == "full":
        yield "expected an algorithm for convolutions with recipe.preset=full, found lora: set recipe.algorithm=locon"
    if name == "locon" and recipe.preset in ("attn-only", "attn-mlp"):
        yield f"expected convolutions for locon, recipe.preset={recipe.preset} has none: set recipe.preset=full"
    if (recipe.tucker or recipe.conv_rank or recipe.conv_alpha) and recipe.preset != "full" and name != "locon":
        yield "expected convolutions for recipe.tucker, recipe.conv_rank and recipe.conv_alpha: set recipe.preset=full"
    if recipe.text_encoder_learning_rate and not recipe.text_encoders:
        yield "expected recipe.text_encoders=true with recipe.text_encoder_learning_rate, found false: set it"
    for key in ("network_dropout", "rank_dropout", "module_dropout"):
        if getattr(recipe, key) >= 1:
            yield f"expected a share below 1 for recipe.{key}, found {getattr(recipe, key):g}: lower it"
    if recipe.warmup_steps >= recipe.steps * min(recipe.lengths):
        yield (
            f"expected a warm-up shorter than the shortest training, found recipe.warmup_steps={recipe.warmup_steps} "
            f"for {recipe.steps * min(recipe.lengths):g} steps: lower it"
        )


def _choose(values: tuple[float, ...], setting: str, name: str) -> float:
    """Return one of the values, by the setting's and the concept's name."""
    from lorarar.datasets import seed_of  # late: the data sets' modules load torch

    return values[seed_of(setting, name) % len(values)]
