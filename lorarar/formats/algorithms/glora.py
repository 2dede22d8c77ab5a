"""GLoRA as LyCORIS stores it, dW = gamma (W0 a1 a2 + b1 b2).

Reference: GLoRA, arXiv 2306.07967, equation 8, whose supports for weights these are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.formats.algorithms.parts import Parts, flattened, matrix, product, wide
from lorarar.formats.algorithms.scaling import Scaling, gamma
from lorarar.lora import Layer


def glora(parts: Parts, scaling: Scaling, weight: Tensor) -> Layer:
    """[W0 a1, b1] [a2; b2], of twice the rank; for a convolution a1 and a2 act on channels, at each place of the kernel.

    Args:
        parts: "a1" (in, rank), "a2" (rank, in), "b1" (out, rank), "b2" (rank, in[, height, width]); in old files a1
            and a2 are each other's, and b1 and b2. "alpha".
        scaling: What a configuration says.
        weight: W0, (out, in[, height, width]), float32 or wider.

    Returns:
        Factors where they are thinner than the delta, else the dense delta; float32 or wider.

    Raises:
        ValueError: Shapes do not fit.
    """
    places = weight[0, 0].numel()
    a1, a2, b1, b2 = _ordered(parts, weight)
    identity = torch.eye(places, dtype=a1.dtype)
    up = torch.cat([weight.flatten(1) @ torch.kron(a1, identity), b1], dim=1)
    down = torch.cat([torch.kron(a2, identity), b2])
    return product(up, down, gamma(parts, scaling, a2.shape[0]), tuple(weight.shape[2:]))


def _ordered(parts: Parts, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a1, a2, b1, b2 as matrices in today's order."""
    (out, width), columns = weight.shape[:2], weight[0].numel()
    for names in (("a1", "a2", "b1", "b2"), ("a2", "a1", "b2", "b1")):
        rank = parts[names[1]].shape[0] if parts[names[1]].ndim else 0
        expected = [(width, rank), (rank, width), (out, rank), (rank, columns)]
        found = [
            tuple(tensor.flatten(1).shape) if tensor.ndim > 1 else ()
            for tensor in map(parts.get, names)
            if tensor is not None
        ]
        if found == expected:
            a1, a2, b1 = (wide(matrix(parts, name)) for name in names[:3])
            return a1, a2, b1, wide(flattened(parts, names[3])[0])
    shapes = {name: tuple(parts[name].shape) for name in ("a1", "a2", "b1", "b2")}
    raise ValueError(f"the parts of GLoRA do not fit the base's weight {tuple(weight.shape)}, found {shapes}")
