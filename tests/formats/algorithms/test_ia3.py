"""IA3 against LyCORIS' module."""

from __future__ import annotations

import pytest
import torch
from lycoris.modules import IA3Module
from torch import nn

from lorarar.formats.algorithms.layer import NeedsBase, layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from tests.formats.algorithms.reference import check_equal, convolution, linear, parts_of, randomised, used_delta


@pytest.mark.parametrize("base", [linear(), linear(12, 12), convolution(), convolution(kernel=1)], ids=str)
@pytest.mark.parametrize("on_input", [True, False])
def test_equals_lycoris(base: nn.Linear | nn.Conv2d, on_input: bool) -> None:
    module = randomised(IA3Module("x", base, train_on_input=on_input))
    layer = layer_deltas(parts_of(module), Scaling(), lambda: base.weight.detach())[""]
    check_equal(layer, used_delta(module, base))
    assert layer.kernel == tuple(base.weight.shape[2:])


@pytest.mark.parametrize(("on_input", "expected"), [(0, "4 rows, found 5"), (1, "6 input channels, found 5")])
def test_another_base(on_input: int, expected: str) -> None:
    parts = {"ia3": torch.ones(5), "on_input": torch.tensor(on_input)}
    with pytest.raises(ValueError, match=expected):
        layer_deltas(parts, Scaling(), lambda: torch.ones(4, 6))
    with pytest.raises(NeedsBase, match="IA3"):
        layer_deltas(parts, Scaling())
