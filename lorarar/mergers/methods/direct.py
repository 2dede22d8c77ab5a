"""Direct merge: the weighted sum of the deltas, exact.

The "linear" merge of peft with the same weights differs: it sums A and B separately, which adds cross terms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lorarar.lora import Coefficients, LoRA


def direct(loras: Sequence[LoRA], weights: Sequence[float] | None = None) -> Coefficients:
    """Return the coefficients of dW_m = sum_i w_i dW_i.

    Args:
        loras: One or more LoRAs.
        weights: One number for each LoRA; None is 1 for all, the sum that users get when they load all LoRAs.

    Returns:
        One number () for each LoRA in each layer.

    Raises:
        ValueError: The number of weights differs from the number of LoRAs.

    Reference:
        "Direct merge" in ZipLoRA, arXiv 2311.13600.
    """
    values = [1.0] * len(loras) if weights is None else list(weights)
    if len(values) != len(loras):
        raise ValueError(f"expected {len(loras)} weights, one for each LoRA, found {len(values)}: {values}")
    numbers = tuple(torch.tensor(float(weight)) for weight in values)
    return Coefficients({layer: numbers for lora in loras for layer in lora.layers})
