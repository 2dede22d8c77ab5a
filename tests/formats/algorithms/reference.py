"""LyCORIS' own modules as a reference: their parameters drawn at random, their parts as they save them."""

from __future__ import annotations

from typing import Any

import torch
from lycoris.modules.base import LycorisBaseModule
from torch import Tensor, nn

from lorarar.formats.algorithms.roles import split_key
from lorarar.lora.lora import Layer


def linear(out: int = 12, width: int = 20) -> nn.Linear:
    """A random linear layer in float64."""
    return _drawn(nn.Linear(width, out).double())


def convolution(out: int = 12, width: int = 8, kernel: int = 3) -> nn.Conv2d:
    """A random convolution in float64."""
    return _drawn(nn.Conv2d(width, out, kernel).double())


def randomised(module: LycorisBaseModule) -> LycorisBaseModule:
    """The same module in its layer's type with all its parameters drawn anew, so that none is at its neutral start."""
    return _drawn(module.to(module.org_weight.dtype).eval())


def _drawn(module: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def parts_of(module: LycorisBaseModule) -> dict[str, Tensor]:
    """Role -> tensor of what the module saves, through our table of keys."""
    saved = module.custom_state_dict() or module.state_dict()
    divided = {split_key(f"lora_unet_x.{key}"): tensor.detach() for key, tensor in saved.items() if key != "scalar"}
    assert None not in divided
    return {found[1]: tensor for found, tensor in divided.items() if found}


def used_delta(module: LycorisBaseModule, base: nn.Linear | nn.Conv2d) -> Tensor:
    """The delta by which the adapted layer's output differs from the base's, (out, in * kernel).

    From the module's forward: LyCORIS 4.1.3 scales LoHa and LoKr twice when it merges, and once when it trains and
    samples, which is what counts.
    """
    width = base.weight.shape[1]
    if isinstance(base, nn.Linear):
        inputs = torch.eye(width, dtype=base.weight.dtype)
        return (module.forward(inputs) - base(inputs)).detach().T
    # A pulse in each channel, alone in its picture, shows the kernel upside down.
    height = base.weight.shape[2]
    inputs = torch.zeros(width, width, 2 * height - 1, 2 * height - 1, dtype=base.weight.dtype)
    inputs[range(width), range(width), height - 1, height - 1] = 1
    shown = (module.forward(inputs) - base(inputs)).detach()
    return shown.flip(2, 3).transpose(0, 1).flatten(1)


def check_equal(layer: Layer, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Checks a delta against a dense one, within a share of its largest entry."""
    assert layer.shape == tuple(expected.flatten(1).shape if expected.ndim > 1 else expected.shape)
    assert expected.abs().max() > 0
    difference = (layer.delta().double() - expected.double().reshape(layer.shape)).abs().max()
    assert difference <= tolerance * expected.abs().max(), float(difference / expected.abs().max())
