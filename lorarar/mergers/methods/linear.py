"""Linear: the factor-wise merge of peft, for comparison with it.

The merge adds cross terms B_i A_j. On unrelated LoRAs its error against the sum of the deltas is as large as the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, sqrt

import torch

from lorarar.lora import Layer, LowRank
from lorarar.mergers.methods.layers import present


def linear(deltas: Sequence[Layer | None], *, layer: str) -> LowRank:
    """Return dW_m = (sum_i sqrt|w_i| B_i) (sum_i sign(w_i) sqrt|w_i| A_i), with w_i the weight times alpha / rank.

    Args:
        deltas: One delta (out, in) for each LoRA, with its weight in the scale; None where a LoRA lacks the layer.
        layer: Path of the layer, for the message.

    Returns:
        A delta of the inputs' rank, with scale 1.

    Raises:
        ValueError: The ranks differ, or a delta is dense.

    Reference:
        peft `add_weighted_adapter`, combination_type="linear".
    """
    layers = present(deltas)
    low_rank = [delta for delta in layers if isinstance(delta, LowRank)]
    if len(low_rank) < len(layers) or len({delta.rank for delta in low_rank}) > 1:
        kinds = ", ".join(f"rank {delta.rank}" if isinstance(delta, LowRank) else "a dense delta" for delta in layers)
        raise ValueError(
            f"expected factors of one rank in layer {layer}, because the factor-wise merge adds B to B and A to A, "
            f"found {kinds}: use the merger direct, which is exact for any ranks"
        )
    roots = [sqrt(abs(delta.scale)) for delta in low_rank]
    wide = [delta.to(dtype=torch.promote_types(delta.A.dtype, torch.float32)) for delta in low_rank]
    b = torch.stack([root * delta.B for root, delta in zip(roots, wide, strict=True)]).sum(0)
    a = torch.stack([copysign(root, delta.scale) * delta.A for root, delta in zip(roots, wide, strict=True)]).sum(0)
    return LowRank(b, a, kernel=low_rank[0].kernel)
