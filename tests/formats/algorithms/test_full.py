"""Dense deltas and biases against LyCORIS' modules."""

from __future__ import annotations

import pytest
import torch
from lycoris.modules import FullModule, NormModule
from torch import Tensor, nn

from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora.dense import Dense
from tests.formats.algorithms.reference import check_equal, convolution, linear


@pytest.mark.parametrize("base", [linear(), convolution(), convolution(kernel=1)], ids=str)
def test_full_equals_lycoris(base: nn.Linear | nn.Conv2d) -> None:
    assert base.bias is not None
    diff, diff_b = torch.randn_like(base.weight), torch.randn_like(base.bias)
    with torch.no_grad():
        module = FullModule.make_module_from_state_dict("x", base, diff, diff_b)
    layers = layer_deltas({"diff": diff, "diff_b": diff_b}, Scaling())
    weight, bias = module.get_diff_weight()
    check_equal(layers[""], weight.detach())
    check_equal(layers["bias"], bias.detach())
    assert layers[""].kernel == tuple(base.weight.shape[2:])


def test_norms_equal_lycoris() -> None:
    base = nn.LayerNorm(6)
    w_norm, b_norm = torch.randn(6), torch.randn(6)
    with torch.no_grad():
        module = NormModule.make_module_from_state_dict("x", base, w_norm, b_norm)
    layers = layer_deltas({"w_norm": w_norm, "b_norm": b_norm}, Scaling())
    weight, bias = module.get_diff_weight()
    check_equal(layers[""], weight.detach())
    check_equal(layers["bias"], bias.detach())


@pytest.mark.parametrize("role", ["diff_b", "b_norm"])
def test_a_bias_alone(role: str) -> None:
    layers = layer_deltas({role: torch.ones(3).half()}, Scaling())
    assert list(layers) == ["bias"]
    assert isinstance(layers["bias"], Dense)
    assert layers["bias"].tensor.dtype == torch.float16


def test_a_bias_beside_factors_is_not_scaled() -> None:
    layers = layer_deltas(
        {"up": torch.ones(3, 2), "down": torch.ones(2, 4), "diff_b": torch.ones(3)}, Scaling(alpha=1.0)
    )
    assert layers[""].delta().tolist() == [[1.0] * 4] * 3
    assert layers["bias"].delta().tolist() == [1.0] * 3


def test_the_bias_of_the_up_factor_is_scaled() -> None:
    layers = layer_deltas(
        {"up": torch.ones(3, 2), "down": torch.ones(2, 4), "up_bias": torch.ones(3)}, Scaling(alpha=1.0)
    )
    assert layers["bias"].delta().tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"diff": torch.ones(())}, "shape of a weight"),
        ({"diff_b": torch.ones(2, 2)}, r"diff_b must be a bias, \(out,\), found shape \(2, 2\)"),
        (
            {"up": torch.ones(3, 2), "down": torch.ones(2, 4), "up_bias": torch.ones(3), "diff_b": torch.ones(3)},
            "expected one bias, found diff_b and up_bias",
        ),
    ],
)
def test_errors(parts: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer_deltas(parts, Scaling())
