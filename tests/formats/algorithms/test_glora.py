"""GLoRA against LyCORIS' module."""

from __future__ import annotations

import pytest
import torch
from lycoris.modules import GLoRAModule
from torch import nn

from lorarar.formats.algorithms.layer import NeedsBase, layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank
from tests.formats.algorithms.reference import check_equal, convolution, linear, parts_of, randomised, used_delta


@pytest.mark.parametrize("base", [linear(), convolution(), convolution(kernel=1)], ids=["linear", "3x3", "1x1"])
@pytest.mark.parametrize("rslora", [False, True])
def test_equals_lycoris(base: nn.Linear | nn.Conv2d, rslora: bool) -> None:
    module = randomised(GLoRAModule("x", base, lora_dim=2, alpha=1.5, rs_lora=rslora))
    layer = layer_deltas(parts_of(module), Scaling(rslora=rslora), lambda: base.weight.detach())[""]
    check_equal(layer, used_delta(module, base))
    assert layer.kernel == tuple(base.weight.shape[2:])
    assert isinstance(layer, Dense if layer.kernel == (3, 3) else LowRank)


def test_old_files_swap_the_factors() -> None:
    base = linear()
    module = randomised(GLoRAModule("x", base, lora_dim=2, alpha=1.5))
    parts = parts_of(module)
    old = parts | {"a1": parts["a2"], "a2": parts["a1"], "b1": parts["b2"], "b2": parts["b1"]}
    check_equal(layer_deltas(old, Scaling(), lambda: base.weight.detach())[""], used_delta(module, base))


def test_another_base() -> None:
    parts = {"a1": torch.ones(5, 2), "a2": torch.ones(2, 5), "b1": torch.ones(4, 2), "b2": torch.ones(2, 5)}
    with pytest.raises(ValueError, match=r"do not fit the base's weight \(4, 6\)"):
        layer_deltas(parts, Scaling(), lambda: torch.ones(4, 6))
    with pytest.raises(ValueError, match="a1 must be a matrix"):
        layer_deltas(parts | {"a1": torch.ones(5)}, Scaling(), lambda: torch.ones(4, 5))
    with pytest.raises(NeedsBase, match="GLORA"):
        layer_deltas(parts, Scaling())
