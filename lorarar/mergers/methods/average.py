"""Average: the mean of the deltas."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import Coefficients, LoRA
from lorarar.mergers.methods.direct import direct


def average(loras: Sequence[LoRA]) -> Coefficients:
    """Return the coefficients of dW_m = (1/n) sum_i dW_i; a layer that some of the n LoRAs lack is divided by n too.

    Args:
        loras: One or more LoRAs.

    Returns:
        The number 1/n () for each LoRA in each layer.

    Reference:
        Model soups, arXiv 2203.05482, on deltas.
    """
    n = len(loras)
    return direct(loras, [1.0 / n for _ in loras])
