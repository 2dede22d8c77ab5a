"""Deltas that have no thin factors: full-rank updates, norms and biases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lorarar.lora.lowrank import LowRank, check_kernel


@dataclass(frozen=True, eq=False)
class Dense:
    """One weight's delta, entry by entry.

    Args:
        tensor: (out, in) for a linear layer; (out, channels * height * width) for a convolution, flattened; (n,) for a
            norm's weight or any bias.
        kernel: (height, width) of a convolution's kernel, else ().

    Raises:
        ValueError: The tensor is neither 1-D nor 2-D or no floating-point tensor, or the kernel does not fit.
    """

    tensor: Tensor
    kernel: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.tensor.ndim not in (1, 2) or not self.tensor.is_floating_point():
            raise ValueError(
                f"expected a delta of shape (out, in) or (n,), found shape {tuple(self.tensor.shape)} of "
                f"{self.tensor.dtype}: flatten a convolution kernel or dequantise the weights first"
            )
        check_kernel(self.kernel, self.tensor.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in), or (n,)."""
        return tuple(self.tensor.shape)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tensor.device

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Dense:
        """The same delta on another device or in another dtype."""
        return replace(self, tensor=self.tensor.to(device=device, dtype=dtype))

    def delta(self) -> Tensor:
        """The delta in float32 or wider."""
        return self.tensor.to(torch.promote_types(self.tensor.dtype, torch.float32))


def scale_columns_dense(layer: LowRank | Dense, m: Tensor) -> Tensor:
    """dW diag(m) entry by entry, in float32 or wider; for a vector, the vector times m.

    Args:
        layer: A delta of shape (out, in) or (n,).
        m: Coefficients of the last dimension, or () for one number.

    Raises:
        ValueError: m is neither () nor of the last dimension's size.
    """
    if m.ndim and tuple(m.shape) != layer.shape[-1:]:
        raise ValueError(
            f"expected one coefficient a column, shape {layer.shape[-1:]} or (), found {tuple(m.shape)}: "
            f"the coefficients were made for another layer"
        )
    delta = layer.delta()
    return delta * m.to(delta.device, torch.promote_types(m.dtype, torch.float32))


def factored(layer: LowRank | Dense) -> LowRank:
    """Exact factors of any 2-D delta: those that it has, else the identity of its smaller side times the delta.

    Raises:
        ValueError: The delta is a vector.
    """
    if isinstance(layer, LowRank):
        return layer
    if len(layer.shape) != 2:
        raise ValueError(f"a delta of shape {layer.shape} has no factors: norms and biases are vectors")
    delta = layer.delta()
    out, width = delta.shape
    if out <= width:
        return LowRank(torch.eye(out, dtype=delta.dtype, device=delta.device), delta, kernel=layer.kernel)
    return LowRank(delta, torch.eye(width, dtype=delta.dtype, device=delta.device), kernel=layer.kernel)
