"""IA3 as LyCORIS stores it, dW = W0 * weight: each row, or each input channel, of the base's weight scaled.

Reference: IA3, arXiv 2205.05638, section 3.3.
"""

from __future__ import annotations

from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, widen
from lorarar.formats.algorithms.scaling import single_number
from lorarar.lora import Dense


def ia3(parts: LayerParts, weight: Tensor) -> Dense:
    """The delta, of full rank.

    Args:
        parts: "ia3", (out,) or (in,), in convolutions (1, out, 1, 1) or (1, in, 1, 1); "on_input", 1 where the input
            channels are scaled, else 0.
        weight: W0, (out, in[, height, width]), float32 or wider.

    Raises:
        ValueError: Shapes do not fit.
    """
    dimension = 1 if single_number(parts, "on_input") else 0
    factors = widen(parts["ia3"]).flatten()
    if factors.numel() != weight.shape[dimension]:
        raise ValueError(
            f"IA3 must have one number for each of the weight's {weight.shape[dimension]} "
            f"{('rows', 'input channels')[dimension]}, found {factors.numel()}: the base model is another one"
        )
    shape = [1] * weight.ndim
    shape[dimension] = -1
    return Dense((weight * factors.reshape(shape)).flatten(1), tuple(weight.shape[2:]))
