"""Reference: LyCORIS modules with random parameters, and the parts that they save."""

from __future__ import annotations

from typing import Any

import torch
from lycoris.modules.base import LycorisBaseModule
from torch import Tensor, nn

from lorarar.formats.algorithms.roles import split_key
from lorarar.lora.lora import Layer


def linear(out: int = 12, width: int = 20) -> nn.Linear:
    """Return a random linear layer in float64."""
    return _drawn(nn.Linear(width, out).double())


def convolution(out: int = 12, width: int = 8, kernel: int = 3) -> nn.Conv2d:
    """Return a random convolution in float64."""
    return _drawn(nn.Conv2d(width, out, kernel).double())


def randomised(module: LycorisBaseModule) -> LycorisBaseModule:
    """Return the module in its layer's dtype with new random parameters, because it starts with a zero delta."""
    return _drawn(module.to(module.org_weight.dtype).eval())


def _drawn(module: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def parts_of(module: LycorisBaseModule) -> dict[str, Tensor]:
    """Return role -> tensor for the tensors that the module saves, with roles from our table of keys."""
    saved = module.custom_state_dict() or module.state_dict()
    divided = {split_key(f"lora_unet_x.{key}"): tensor.detach() for key, tensor in saved.items() if key != "scalar"}
    assert None not in divided
    return {parts[1]: tensor for parts, tensor in divided.items() if parts}


def used_delta(module: LycorisBaseModule, base: nn.Linear | nn.Conv2d) -> Tensor:
    """Return the difference between the adapted layer and the base layer as a delta (out, in * kernel).

    The delta comes from the module's forward pass. LyCORIS 4.1.3 scales LoHa and LoKr twice when it merges, but
    once when it trains and samples.
    """
    width = base.weight.shape[1]
    if isinstance(base, nn.Linear):
        inputs = torch.eye(width, dtype=base.weight.dtype)
        return (module.forward(inputs) - base(inputs)).detach().T
    # The response to a pulse in one channel is the mirrored kernel.
    height = base.weight.shape[2]
    inputs = torch.zeros(width, width, 2 * height - 1, 2 * height - 1, dtype=base.weight.dtype)
    inputs[range(width), range(width), height - 1, height - 1] = 1
    shown = (module.forward(inputs) - base(inputs)).detach()
    return shown.flip(2, 3).transpose(0, 1).flatten(1)


def check_equal(layer: Layer, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Check that a delta equals a dense one within a tolerance relative to its largest entry."""
    assert layer.shape == tuple(expected.flatten(1).shape if expected.ndim > 1 else expected.shape)
    assert expected.abs().max() > 0
    difference = (layer.delta().double() - expected.double().reshape(layer.shape)).abs().max()
    assert difference <= tolerance * expected.abs().max(), float(difference / expected.abs().max())
