"""Auto: the sum of balanced LoRAs with less of their self-attention, the default for any files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from lorarar.lora import Coefficients, LoRA

_SELF_ATTENTION = ".attn1."  # of a UNet; transformers with joint attention have none


def auto(loras: Sequence[LoRA], *, strength: float = 1.0, self_attention: float = 0.5) -> Coefficients:
    """Return the coefficients of dW_m = s_n sum_i dW_i, over the n LoRAs that hold a layer.

    The LoRAs are balanced before (`lorarar.mergers.balance`). s_1 = 1; s_2 = `strength`, times `self_attention` in the
    self-attention of a UNet, where LoRAs disturb each other most; for more LoRAs s_n = s_2 sqrt(2 / n), which keeps the
    length of a sum of orthogonal deltas. Norms and biases are summed.

    Args:
        loras: One or more LoRAs.
        strength: Factor of each of two LoRAs.
        self_attention: Further factor of the layers of self-attention.

    Returns:
        One number () for each LoRA in each layer.

    Reference:
        lorarar, measured in experiments/auto.
    """
    coefficients = {}
    for layer in dict.fromkeys(layer for lora in loras for layer in lora.layers):
        held = [lora.layers[layer] for lora in loras if layer in lora.layers]
        factor = 1.0
        if len(held) > 1 and len(held[0].shape) == 2:
            factor = strength * math.sqrt(2 / len(held)) * (self_attention if _SELF_ATTENTION in layer else 1.0)
        coefficients[layer] = (torch.tensor(factor),) * len(loras)
    return Coefficients(coefficients)
