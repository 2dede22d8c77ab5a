"""Direct merge: the weighted sum of the deltas, exact.

peft's "linear" of the same weights is another thing: it sums A and B separately, which adds cross terms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lorarar.lora import Coefficients, LoRA


def direct(loras: Sequence[LoRA], weights: Sequence[float] | None = None) -> Coefficients:
    """dW_m = sum_i w_i dW_i.

    Args:
        loras: One or more LoRAs.
        weights: One number for each LoRA; 1 for all when absent, the sum that users get by loading both.

    Returns:
        One number () for each LoRA in each layer.

    Raises:
        ValueError: There is not one weight for each LoRA.

    Reference:
        "Direct merge" in ZipLoRA, arXiv 2311.13600.
    """
    chosen = [1.0] * len(loras) if weights is None else list(weights)
    if len(chosen) != len(loras):
        raise ValueError(f"expected {len(loras)} weights, one for each LoRA, found {len(chosen)}: {chosen}")
    numbers = tuple(torch.tensor(float(weight)) for weight in chosen)
    return Coefficients({layer: numbers for lora in loras for layer in lora.layers})
