"""Auto: the sum of balanced LoRAs at a fixed strength, the default for any files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from lorarar.lora import Coefficients, LoRA


def auto(loras: Sequence[LoRA], *, strength: float = 0.75) -> Coefficients:
    """Return the coefficients of dW_m = s_n sum_i dW_i, over the n LoRAs that hold a layer.

    The LoRAs are balanced before (`lorarar.mergers.balance`). s_1 = 1, s_2 = `strength`, and for more LoRAs s_n =
    `strength` sqrt(2 / n), which keeps the length of a sum of orthogonal deltas. Norms and biases are summed.

    Args:
        loras: One or more LoRAs.
        strength: Factor of each of two LoRAs.

    Returns:
        One number () for each LoRA in each layer.

    Reference:
        lorarar, measured in experiments/auto.
    """
    coefficients = {}
    for layer in dict.fromkeys(layer for lora in loras for layer in lora.layers):
        held = [lora.layers[layer] for lora in loras if layer in lora.layers]
        shared = len(held) > 1 and len(held[0].shape) == 2
        factor = torch.tensor(strength * math.sqrt(2 / len(held)) if shared else 1.0)
        coefficients[layer] = (factor,) * len(loras)
    return Coefficients(coefficients)
