"""GLoRA as stored by LyCORIS, dW = gamma (W0 a1 a2 + b1 b2).

Reference: GLoRA, arXiv 2306.07967, equation 8. The four parts are its supports for weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, flatten_kernel, kron
from lorarar.formats.algorithms.scaling import Scaling, gamma, single_number
from lorarar.lora import Dense, Layer, LowRank

# The current order, and the order in old files.
_NAMES = (("a1", "a2", "b1", "b2"), ("a2", "a1", "b2", "b1"))


def glora(parts: LayerParts, scaling: Scaling, weight: Tensor) -> Layer:
    """Return [W0 a1, b1] [a2; b2], of twice the rank. In a convolution, a1 and a2 act on channels at each kernel place.

    Args:
        parts: "a1" (in, rank), "a2" (rank, in), "b1" (out, rank), "b2" (rank, in[, height, width]); old files swap a1
            with a2 and b1 with b2. "alpha".
        scaling: Scaling from a configuration.
        weight: W0, (out, in[, height, width]), float32 or float64.

    Returns:
        Factors if their rank is less than both sides of the delta, else the dense delta; float32 or float64.

    Raises:
        ValueError: The shapes disagree.
    """
    a1, a2, b1, b2 = _ordered(parts, weight)
    places = torch.eye(weight[0, 0].numel(), dtype=a1.dtype)
    up = torch.cat([weight.flatten(1) @ kron(a1, places), b1], dim=1)
    down = torch.cat([kron(a2, places), b2])
    scale, kernel = _scale(parts, scaling, a2.shape[0]), tuple(weight.shape[2:])
    if up.shape[1] < min(up.shape[0], down.shape[1]):
        return LowRank(up, down, scale, kernel)
    return Dense(scale * (up @ down), kernel)


def _scale(parts: LayerParts, scaling: Scaling, rank: int) -> float:
    """Return gamma. Unlike for its other algorithms, LyCORIS writes GLoRA's alpha without the square root of rsLoRA."""
    if "alpha" in parts:
        scaling = Scaling(single_number(parts, "alpha"), scaling.rslora)
    return gamma({role: tensor for role, tensor in parts.items() if role != "alpha"}, scaling, rank)


def _ordered(parts: LayerParts, weight: Tensor) -> list[Tensor]:
    """Return a1, a2, b1, b2 as matrices in the current order and in the weight's dtype."""
    out, width = weight.shape[:2]
    for names in _NAMES:
        matrices = [flatten_kernel(parts, name)[0] for name in names]
        rank = matrices[1].shape[0]
        expected = [(width, rank), (rank, width), (out, rank), (rank, weight[0].numel())]
        if [tuple(matrix.shape) for matrix in matrices] == expected:
            return [matrix.to(weight.dtype) for matrix in matrices]
    shapes = {name: tuple(parts[name].shape) for name in _NAMES[0]}
    raise ValueError(
        f"the parts of GLoRA do not fit the base's weight {tuple(weight.shape)}, found {shapes}: give the base model "
        f"of the training"
    )
