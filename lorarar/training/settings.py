"""Settings of training, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lorarar.storage import NonNegativeFloat, PositiveFloat, PositiveInt

WandbMode = Literal["offline", "online", "disabled"]


@dataclass(frozen=True)
class Recipe:
    """How each LoRA is trained.

    Attributes:
        rank: Rank of each LoRA.
        alphas: A LoRA's alpha is one of these, by its concept's name; the scale of its delta is alpha / rank.
        steps: Optimiser steps of the longest training.
        images: Images in a step, chosen from the concept's own with their captions.
        learning_rate: Constant rate of AdamW.
        weight_decay: Weight decay of AdamW.
        clip: Largest norm of a LoRA's gradient.
        targets: Ends of the paths of the layers that are trained.
        seed: Seed of the initial factors, the images, the timesteps and the noise.
        lengths: A LoRA is trained for one of these shares of `steps`, by its concept's name.
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

    # Several alphas and lengths make a zoo whose LoRAs differ in the size of their deltas, as downloaded ones do.

    def steps_of(self, name: str) -> int:
        """Return the optimiser steps of a concept's LoRA."""
        return round(self.steps * _choose(self.lengths, "length", name))

    def scale(self, name: str) -> float:
        """Return alpha / rank of a concept's LoRA."""
        return _choose(self.alphas, "alpha", name) / self.rank


def _choose(values: tuple[float, ...], setting: str, name: str) -> float:
    """Return one of the values, by the setting's and the concept's name."""
    from lorarar.datasets import seed_of  # late: the data sets' modules load torch

    return values[seed_of(setting, name) % len(values)]
