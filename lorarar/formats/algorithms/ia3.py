"""IA3 as stored by LyCORIS, dW = W0 * weight: a factor for each row or each input channel of the base's weight.

Reference: IA3, arXiv 2205.05638, section 3.3.
"""

from __future__ import annotations

from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, widen
from lorarar.formats.algorithms.scaling import single_number
from lorarar.lora import Dense


def ia3(parts: LayerParts, weight: Tensor) -> Dense:
    """Return the full-rank delta.

    Args:
        parts: "ia3", (out,) or (in,), in convolutions (1, out, 1, 1) or (1, in, 1, 1); "on_input", 1 if the factors
            apply to input channels, 0 if they apply to rows.
        weight: W0, (out, in[, height, width]), float32 or float64.

    Raises:
        ValueError: The shapes disagree.
    """
    dimension = 1 if single_number(parts, "on_input") else 0
    factors = widen(parts["ia3"]).flatten()
    if factors.numel() != weight.shape[dimension]:
        raise ValueError(
            f"IA3 must have one number for each of the weight's {weight.shape[dimension]} "
            f"{('rows', 'input channels')[dimension]}, found {factors.numel()}: give the base model of the training"
        )
    shape = [1] * weight.ndim
    shape[dimension] = -1
    return Dense((weight * factors.reshape(shape)).flatten(1), tuple(weight.shape[2:]))
