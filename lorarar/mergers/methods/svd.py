"""Truncated sum: the best approximation of a given rank."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import Layer, LowRank, factorise, truncate
from lorarar.mergers.methods.layers import add, present


def svd(deltas: Sequence[Layer | None], *, layer: str, rank: int = 0) -> Layer:
    """The matrix of rank at most `rank` that is nearest to sum_i dW_i (Eckart-Young), through the factors.

    Args:
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where a LoRA lacks the layer.
        layer: Its path.
        rank: Of the result; 0 is the largest rank among the inputs' thin factors.

    Returns:
        Thin factors; the sum as it is where its rank is small enough already, or where no input is thin and no rank is
        given.

    Raises:
        ValueError: The rank is negative.
    """
    found = present(deltas)
    chosen = rank or max((delta.rank for delta in found if isinstance(delta, LowRank)), default=0)
    total = add(found)
    return truncate(factorise(total), chosen)[0] if chosen else total
