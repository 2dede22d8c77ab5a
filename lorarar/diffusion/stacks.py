"""Stacks: the deltas of one layer for n equal shares of the batch, as forward hooks of the layer's module.

The module is linear or a convolution of one group. The batch is the first dimension of its input and output; share i,
in order, gets delta i. Gradients flow to the stacks' tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class StackedFactors:
    """Low-rank deltas scale B A, which are never formed.

    Attributes:
        A: Down factors, (n, rank, in); for a convolution in = channels * height * width of its flattened kernel.
        B: Up factors, (n, out, rank).
        scale: One number, or (n, 1, 1).
        dropout: Maps what A makes of the input, (n, ..), to what B gets; None changes nothing.
    """

    A: Tensor
    B: Tensor
    scale: float | Tensor
    dropout: Callable[[Tensor], Tensor] | None = None

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Return the adapted output."""
        x, n = inputs[0], self.A.shape[0]
        check_batch(x, n)
        a, b = self.A.to(x.dtype), self.B.to(x.dtype)
        if isinstance(module, nn.Conv2d):
            # (n images, rank, h, w) as (n, rank, images h w): the up factor is a matrix product.
            middle = self._dropped(_convolve(x, a, module).unflatten(0, (n, -1)).transpose(1, 2))
            added: Tensor = torch.bmm(b, scaled(middle.flatten(2), self.scale)).unflatten(2, middle.shape[2:])
            return output + added.transpose(1, 2).reshape(output.shape)
        # The scale multiplies the (.., rank) middle: the smallest tensor, with one rounding in any order.
        middle = scaled(self._dropped(torch.bmm(x.reshape(n, -1, x.shape[-1]), a.mT)), self.scale)
        if middle.dtype != output.dtype:
            return output + torch.bmm(middle, b.mT).reshape(output.shape)
        flat = output.reshape(n, -1, output.shape[-1])
        return torch.baddbmm(flat, middle, b.mT).reshape(output.shape)

    def _dropped(self, middle: Tensor) -> Tensor:
        return middle if self.dropout is None else self.dropout(middle)

    def masked(self, mask: Tensor) -> StackedFactors:
        """Return the deltas with their ranks multiplied by a mask, (n, rank) or (n, 1)."""
        return StackedFactors(self.A * mask[..., None], self.B, self.scale)

    @property
    def width(self) -> int:
        """Size of a mask: the rank."""
        return self.A.shape[1]


@dataclass(frozen=True, eq=False)
class StackedDense:
    """Dense deltas.

    Attributes:
        tensor: Deltas of the weight, (n, out, in), flattened for a convolution.
        bias: Deltas of the bias, (n, out), or None.
    """

    tensor: Tensor
    bias: Tensor | None = None

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Return the adapted output."""
        x, n = inputs[0], self.tensor.shape[0]
        check_batch(x, n)
        weight = self.tensor.to(x.dtype)
        if isinstance(module, nn.Conv2d):
            added = _convolve(x, weight, module)
        else:
            added = torch.bmm(x.reshape(n, -1, x.shape[-1]), weight.mT).reshape(output.shape)
        if self.bias is not None:
            shares = added.unflatten(0, (n, -1))
            shape = [n, *[1] * (shares.ndim - 1)]
            shape[2 if isinstance(module, nn.Conv2d) else -1] = self.bias.shape[1]
            added = (shares + self.bias.to(x.dtype).view(shape)).flatten(0, 1)
        return output + added

    def masked(self, mask: Tensor) -> StackedDense:
        """Return the deltas with their rows multiplied by a mask, (n, out) or (n, 1)."""
        return StackedDense(self.tensor * mask[..., None], None if self.bias is None else self.bias * mask)

    @property
    def width(self) -> int:
        """Size of a mask: the rows."""
        return self.tensor.shape[1]


Stack = StackedFactors | StackedDense


def scaled(middle: Tensor, scale: float | Tensor) -> Tensor:
    """Return middle * scale with the scale kept in float32: fp16 cannot hold alpha / rank exactly."""
    if isinstance(scale, float) and scale == 1:  # a merged LoRA's
        return middle
    return middle * scale if isinstance(scale, float) else (middle.float() * scale).to(middle.dtype)


def check_batch(x: Tensor, n: int) -> None:
    """Raise ValueError if a batch does not fall into n equal shares."""
    if x.shape[0] % n:
        raise ValueError(
            f"expected a batch that divides into {n} equal shares, one for each LoRA, found a batch of {x.shape[0]}: "
            f"make it a multiple of {n}"
        )


def _convolve(x: Tensor, kernels: Tensor, module: nn.Conv2d) -> Tensor:
    """Convolve n shares of x with kernels (n, out, in) as the module does, in one convolution of n groups."""
    n, out = kernels.shape[:2]
    weight = kernels.reshape(n * out, *module.weight.shape[1:])
    grouped = x.unflatten(0, (n, -1)).transpose(0, 1).flatten(1, 2)
    y = F.conv2d(grouped, weight, None, module.stride, module.padding, module.dilation, groups=n)
    by_share: Tensor = y.unflatten(1, (n, out)).transpose(0, 1)
    return by_share.flatten(0, 1)
