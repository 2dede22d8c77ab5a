"""A layer's parts made ready for arithmetic, with what every algorithm checks."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

LayerParts = Mapping[str, Tensor]
_NUMBERS = ("alpha", "scalar", "on_input")
# float8 has no arithmetic; these types hold all its values.
_WIDENED = {
    torch.float8_e4m3fn: torch.float16,
    torch.float8_e5m2: torch.float16,
    torch.float8_e4m3fnuz: torch.float16,
    torch.float8_e5m2fnuz: torch.float16,
    torch.float8_e8m0fnu: torch.float32,
}
# What is computed with.
ARITHMETIC_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def prepare(parts: LayerParts) -> dict[str, Tensor]:
    """The parts in types that have arithmetic; float8 is widened without loss, and all are float64 where one is.

    Raises:
        ValueError: A part is empty, or of integers: quantised weights, whose scales are not known.
    """
    prepared = {role: tensor if role in _NUMBERS else _ready(role, tensor) for role, tensor in parts.items()}
    if all(tensor.dtype != torch.float64 for role, tensor in prepared.items() if role not in _NUMBERS):
        return prepared
    return {role: tensor if role in _NUMBERS else tensor.double() for role, tensor in prepared.items()}


def _ready(role: str, tensor: Tensor) -> Tensor:
    tensor = tensor.to(_WIDENED.get(tensor.dtype, tensor.dtype))
    if tensor.dtype not in ARITHMETIC_DTYPES:
        raise ValueError(
            f"{role} is stored as {tensor.dtype}, and what its numbers stand for is not known: expected floating-point "
            f"weights, dequantise them first"
        )
    if not tensor.numel():
        raise ValueError(f"{role} is empty, shape {tuple(tensor.shape)}: the file is damaged, save it again")
    return tensor


def as_matrix(parts: LayerParts, role: str) -> Tensor:
    """A part of two dimensions; further ones of size 1 are dropped.

    Raises:
        ValueError: It has another shape.
    """
    tensor = parts[role]
    if tensor.ndim < 2 or math.prod(tensor.shape[2:]) != 1:
        raise ValueError(f"{role} must be a matrix, found shape {tuple(tensor.shape)}")
    return tensor.flatten(1)


def flatten_kernel(parts: LayerParts, role: str) -> tuple[Tensor, tuple[int, ...]]:
    """A part as a matrix, and its convolution kernel; () where it is a matrix as it is.

    Raises:
        ValueError: It is a vector or a number.
    """
    tensor = parts[role]
    if tensor.ndim < 2:
        raise ValueError(f"{role} must be a matrix or a convolution, found shape {tuple(tensor.shape)}")
    return tensor.flatten(1), tuple(tensor.shape[2:])


def check_ranks(parts: LayerParts, one: tuple[str, int], other: tuple[str, int]) -> None:
    """Checks that two parts agree in the dimensions named, (role, dimension).

    Raises:
        ValueError: They do not, or a part has no such dimension.
    """
    sizes = [parts[role].shape[dimension : dimension + 1] for role, dimension in (one, other)]
    if sizes[0] != sizes[1] or not sizes[0]:
        shapes = " and ".join(f"{role} {tuple(parts[role].shape)}" for role, _ in (one, other))
        raise ValueError(f"the ranks of {shapes} disagree: parts were swapped, transposed or taken from two files")


def widen(tensor: Tensor) -> Tensor:
    """float32, or float64 where it is so already."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def fold_core(core: Tensor, down: Tensor) -> Tensor:
    """A Tucker core times its down factor, as a matrix: (p, q, *kernel) x_2 (q, in) -> (p, in * kernel)."""
    return torch.einsum("pqk,qi->pik", widen(core).flatten(2), widen(down)).flatten(1)


def kron(a: Tensor, b: Tensor) -> Tensor:
    """The Kronecker product of two matrices. (torch's own fails on transposed ones of one column.)"""
    blocks = a[:, None, :, None] * b[None, :, None, :]
    return blocks.reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])
