"""lorarar.formats.algorithms.layer: the choice of the algorithm and the use of the base's weight."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lorarar.formats.algorithms.layer import NeedsBase, layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank

LORA = {"up": torch.ones(4, 2), "down": torch.ones(2, 6)}


def never() -> Tensor:
    raise AssertionError("this algorithm does not need the base's weight")


def test_weight_and_bias() -> None:
    deltas = layer_deltas(LORA | {"diff_b": torch.ones(4)}, Scaling(), never)
    assert list(deltas) == ["", "bias"]
    assert isinstance(deltas[""], LowRank)
    assert isinstance(deltas["bias"], Dense)


def test_a_norm_and_a_bias_alone() -> None:
    assert torch.equal(layer_deltas({"w_norm": torch.arange(3.0)}, Scaling())[""].delta(), torch.arange(3.0))
    assert list(layer_deltas({"b_norm": torch.ones(3)}, Scaling())) == ["bias"]


def test_a_magnitude_without_a_base() -> None:
    with pytest.raises(NeedsBase, match="DORA layer depends on the base model's weights.*`base`"):
        layer_deltas(LORA | {"dora_scale": torch.ones(4, 1)}, Scaling())


@pytest.mark.parametrize(
    "weight", [torch.ones(4), torch.ones(4, 6, dtype=torch.int8), torch.ones(4, 6).to(torch.float8_e4m3fn)]
)
def test_a_base_weight_without_arithmetic(weight: Tensor) -> None:
    with pytest.raises(ValueError, match="floating-point matrix or convolution.*not quantised"):
        layer_deltas(LORA | {"dora_scale": torch.ones(4, 1)}, Scaling(), lambda: weight)
