"""The "linear" merge of peft, on the factors: kept to show what its users get, not as an approximation to trust.

It adds cross terms B_i A_j: on unrelated LoRAs the error against the sum of the deltas is as large as the sum itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, sqrt

import torch

from lorarar.lora import Layer, LowRank
from lorarar.mergers.methods.layers import present


def linear(deltas: Sequence[Layer | None], *, layer: str) -> LowRank:
    """dW_m = (sum_i sqrt|w_i| B_i) (sum_i sign(w_i) sqrt|w_i| A_i), where w_i is weight times alpha / rank.

    Args:
        deltas: One delta (out, in) for each LoRA, with its weight in the scale; None where a LoRA lacks the layer.
        layer: Its path, for the message.

    Returns:
        A delta of the inputs' rank and of scale 1.

    Raises:
        ValueError: The ranks differ, or a delta has no thin factors.

    Reference:
        peft `add_weighted_adapter`, combination_type="linear".
    """
    found = present(deltas)
    thin = [delta for delta in found if isinstance(delta, LowRank)]
    ranks = sorted({delta.rank for delta in thin})
    if len(thin) < len(found) or len(ranks) > 1:
        kinds = ", ".join(f"rank {delta.rank}" if isinstance(delta, LowRank) else "a dense delta" for delta in found)
        raise ValueError(
            f"layer {layer}: the factor-wise merge adds B to B and A to A, so it needs thin factors of one rank, found "
            f"{kinds}: use the merger direct, which is exact for any ranks"
        )
    roots = [sqrt(abs(delta.scale)) for delta in thin]
    wide = [delta.to(dtype=torch.promote_types(delta.A.dtype, torch.float32)) for delta in thin]
    b = torch.stack([root * delta.B for root, delta in zip(roots, wide, strict=True)]).sum(0)
    a = torch.stack([copysign(root, delta.scale) * delta.A for root, delta in zip(roots, wide, strict=True)]).sum(0)
    return LowRank(b, a, kernel=thin[0].kernel)
