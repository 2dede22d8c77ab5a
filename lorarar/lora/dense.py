"""Dense deltas: full-rank updates, norms and biases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lorarar.lora.lowrank import LowRank, check_kernel


@dataclass(frozen=True, eq=False)
class Dense:
    """Delta of one weight, stored entry by entry.

    Attributes:
        tensor: (out, in) for a linear layer; (out, channels * height * width) for a flattened convolution; (n,) for the
            weight of a norm or for any bias.
        kernel: (height, width) of a convolution's kernel, else ().

    Raises:
        ValueError: The tensor is not a floating-point tensor of one or two dimensions, or the kernel does not fit.
    """

    tensor: Tensor
    kernel: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Dense({' x '.join(map(str, self.tensor.shape))})"

    def __post_init__(self) -> None:
        if self.tensor.ndim not in (1, 2) or not self.tensor.is_floating_point():
            raise ValueError(
                f"expected a delta of shape (out, in) or (n,), found shape {tuple(self.tensor.shape)} of "
                f"{self.tensor.dtype}: flatten the convolution kernel or dequantise the weights first"
            )
        check_kernel(self.kernel, self.tensor.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the delta, (out, in) or (n,)."""
        return tuple(self.tensor.shape)

    @property
    def device(self) -> torch.device:
        """Device of the tensor."""
        return self.tensor.device

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Dense:
        """Return the same delta on another device or in another dtype."""
        return replace(self, tensor=self.tensor.to(device=device, dtype=dtype))

    def delta(self) -> Tensor:
        """Return the delta in float32 or float64."""
        return self.tensor.to(torch.promote_types(self.tensor.dtype, torch.float32))


def scale_columns_dense(layer: LowRank | Dense, m: Tensor) -> Tensor:
    """Return dW diag(m) entry by entry, in float32 or float64; for a vector, the vector times m.

    Args:
        layer: Delta of shape (out, in) or (n,).
        m: Coefficients, (in,) or (n,), or a scalar () for all columns.

    Raises:
        ValueError: The shape of m is neither () nor the size of the last dimension.
    """
    if m.ndim and tuple(m.shape) != layer.shape[-1:]:
        raise ValueError(
            f"expected one coefficient per column, shape {layer.shape[-1:]} or (), found {tuple(m.shape)}: "
            f"use coefficients that were made for this layer"
        )
    delta = layer.delta()
    return delta * m.to(delta.device, torch.promote_types(m.dtype, torch.float32))


def factorise(layer: LowRank | Dense) -> LowRank:
    """Return exact factors of a 2-D delta.

    A low-rank delta is returned unchanged. The factors of a dense delta are the identity of its smaller side and the
    delta itself.

    Raises:
        ValueError: The delta is a vector.
    """
    if isinstance(layer, LowRank):
        return layer
    if len(layer.shape) != 2:
        raise ValueError(
            f"expected a delta of shape (out, in) to factorise, found {layer.shape}: leave out norms and biases, which "
            f"are vectors"
        )
    delta = layer.delta()
    out, width = delta.shape
    if out <= width:
        return LowRank(torch.eye(out, dtype=delta.dtype, device=delta.device), delta, kernel=layer.kernel)
    return LowRank(delta, torch.eye(width, dtype=delta.dtype, device=delta.device), kernel=layer.kernel)
