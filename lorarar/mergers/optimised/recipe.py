"""Recipe: steps, rate and decay of a learned merger's optimisation, readable without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lorarar.storage import NonNegativeFloat, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class MergerRecipe:
    """Settings of the optimisation of a merger by AdamW.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Learning rate of the first step.
        weight_decay: Weight decay.
        clip: Largest norm of the gradient.
        schedule: "constant", or "cosine" from the rate of the first step to 0.
        eight_bit: Whether AdamW keeps its state in 8 bits (bitsandbytes).
    """

    steps: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat = 1e-4
    clip: PositiveFloat = 1.0
    schedule: Literal["constant", "cosine"] = "constant"
    eight_bit: bool = False

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * min(1.0, step / self.steps))) / 2
