"""Parts of a layer: their preparation for arithmetic, and checks for all algorithms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

LayerParts = Mapping[str, Tensor]
_NUMBERS = ("alpha", "scalar", "on_input")
# float8 has no arithmetic. These dtypes hold all its values.
_WIDENED = {
    torch.float8_e4m3fn: torch.float16,
    torch.float8_e5m2: torch.float16,
    torch.float8_e4m3fnuz: torch.float16,
    torch.float8_e5m2fnuz: torch.float16,
    torch.float8_e8m0fnu: torch.float32,
}
# Dtypes with arithmetic.
ARITHMETIC_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def prepare(parts: LayerParts) -> dict[str, Tensor]:
    """Return the parts in dtypes with arithmetic.

    float8 is widened without loss. If one part is float64, all become float64.

    Raises:
        ValueError: A part is empty, or holds integers, which are quantised weights with unknown scales.
    """
    prepared = {role: tensor if role in _NUMBERS else _prepare_part(role, tensor) for role, tensor in parts.items()}
    if all(tensor.dtype != torch.float64 for role, tensor in prepared.items() if role not in _NUMBERS):
        return prepared
    return {role: tensor if role in _NUMBERS else tensor.double() for role, tensor in prepared.items()}


def _prepare_part(role: str, tensor: Tensor) -> Tensor:
    tensor = tensor.to(_WIDENED.get(tensor.dtype, tensor.dtype))
    if tensor.dtype not in ARITHMETIC_DTYPES:
        raise ValueError(
            f"{role} is stored as {tensor.dtype}, whose scale is unknown: expected floating-point weights, dequantise "
            f"them first"
        )
    if not tensor.numel():
        raise ValueError(f"{role} is empty, shape {tuple(tensor.shape)}: the file is damaged, save it again")
    return tensor


def as_matrix(parts: LayerParts, role: str) -> Tensor:
    """Return a part as a matrix without further dimensions of size 1.

    Raises:
        ValueError: The part has another shape.
    """
    tensor = parts[role]
    if tensor.ndim < 2 or math.prod(tensor.shape[2:]) != 1:
        raise ValueError(f"{role} must be a matrix, found shape {tuple(tensor.shape)}: save the LoRA again")
    return tensor.flatten(1)


def flatten_kernel(parts: LayerParts, role: str) -> tuple[Tensor, tuple[int, ...]]:
    """Return a part as a matrix, and its convolution kernel; () for a matrix.

    Raises:
        ValueError: The part is a vector or a scalar.
    """
    tensor = parts[role]
    if tensor.ndim < 2:
        raise ValueError(
            f"{role} must be a matrix or a convolution, found shape {tuple(tensor.shape)}: save the LoRA again"
        )
    return tensor.flatten(1), tuple(tensor.shape[2:])


def check_ranks(parts: LayerParts, first: tuple[str, int], second: tuple[str, int]) -> None:
    """Check that two parts have the same size in the given dimensions, each (role, dimension).

    Raises:
        ValueError: The sizes differ, or a part has no such dimension.
    """
    sizes = [parts[role].shape[dimension : dimension + 1] for role, dimension in (first, second)]
    if sizes[0] != sizes[1] or not sizes[0]:
        shapes = " and ".join(f"{role} {tuple(parts[role].shape)}" for role, _ in (first, second))
        raise ValueError(f"the ranks of {shapes} disagree: check whether parts were swapped, transposed or mixed")


def widen(tensor: Tensor) -> Tensor:
    """Return the tensor in float32, or unchanged if it is float64."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def fold_core(core: Tensor, down: Tensor) -> Tensor:
    """Multiply a Tucker core by its down factor: (p, q, *kernel) x_2 (q, in) -> matrix (p, in * kernel)."""
    return torch.einsum("pqk,qi->pik", widen(core).flatten(2), widen(down)).flatten(1)


def kron(a: Tensor, b: Tensor) -> Tensor:
    """Return the Kronecker product of two matrices. torch.kron fails for transposed matrices with one column."""
    blocks = a[:, None, :, None] * b[None, :, None, :]
    return blocks.reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])
