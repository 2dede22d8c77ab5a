"""SVD: the truncated sum, its best approximation of a given rank."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import Layer, LowRank, factorise, truncate
from lorarar.mergers.methods.layers import add_deltas, present


def svd(deltas: Sequence[Layer | None], *, layer: str, rank: int = 0) -> Layer:
    """Return the matrix of rank at most `rank` that is nearest to sum_i dW_i (Eckart-Young), through the factors.

    Args:
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where a LoRA lacks the layer.
        layer: Path of the layer.
        rank: Rank of the result; 0 is the largest rank among the low-rank inputs.

    Returns:
        A low-rank delta; the exact sum if its rank is small enough, or if rank is 0 and no input is low-rank.

    Raises:
        ValueError: The rank is negative.
    """
    layers = present(deltas)
    largest = rank or max((delta.rank for delta in layers if isinstance(delta, LowRank)), default=0)
    total = add_deltas(layers)
    return truncate(factorise(total), largest)[0] if largest else total
