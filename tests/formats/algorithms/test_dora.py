"""DoRA on LoRA, LoHa and LoKr against LyCORIS' modules and peft's layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lycoris.modules import LoConModule, LohaModule, LokrModule
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from tests.formats.algorithms.reference import check_equal, convolution, linear, parts_of, randomised, used_delta


@pytest.mark.parametrize("base", [linear(), linear(12, 12), convolution(), convolution(kernel=1)], ids=str)
@pytest.mark.parametrize("kind", [LoConModule, LohaModule, LokrModule])
@pytest.mark.parametrize("by_row", [True, False])
def test_equals_lycoris(base: nn.Linear | nn.Conv2d, kind: Any, by_row: bool) -> None:
    module = randomised(kind("x", base, lora_dim=2, alpha=1.5, weight_decompose=True, wd_on_out=by_row))
    layer = layer_deltas(parts_of(module), Scaling(), lambda: base.weight.detach())[""]
    check_equal(layer, used_delta(module, base))
    assert layer.kernel == tuple(base.weight.shape[2:])


@pytest.mark.parametrize("base", [nn.Linear(20, 12), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 12, 3)], ids=str)
@pytest.mark.parametrize("rslora", [False, True])
def test_equals_peft(base: nn.Linear | nn.Conv2d, rslora: bool) -> None:
    before = base.weight.detach().clone()
    config = LoraConfig(
        r=4, lora_alpha=3, target_modules=["0"], use_dora=True, use_rslora=rslora, init_lora_weights=False
    )
    model = get_peft_model(nn.Sequential(base), config)
    adapted: Any = model.get_submodule("base_model.model.0")
    vector: Tensor = adapted.lora_magnitude_vector["default"].weight
    vector.data *= torch.linspace(0.5, 2, vector.numel()).reshape(vector.shape)
    parts = {
        "down": adapted.lora_A["default"].weight.detach(),
        "up": adapted.lora_B["default"].weight.detach(),
        "magnitude": vector.detach(),
    }
    adapted.merge()
    layer = layer_deltas(parts, Scaling(alpha=3.0, rslora=rslora), lambda: before)[""]
    check_equal(layer, adapted.get_base_layer().weight.detach() - before, 1e-5)


def test_a_direction_of_length_zero_stays_zero() -> None:
    parts = {"down": torch.zeros(1, 3), "up": torch.zeros(2, 1), "dora_scale": torch.tensor([[100.0], [1.0]])}
    weight = torch.tensor([[0.0, 0.0, 0.0], [0.0, 3.0, 4.0]])
    delta = layer_deltas(parts, Scaling(), lambda: weight)[""].delta()
    assert torch.allclose(delta, torch.tensor([[0.0, 0.0, 0.0], [0.0, -2.4, -3.2]]))


def test_the_base_in_half_precision_is_widened() -> None:
    parts = {"down": torch.ones(1, 3).half(), "up": torch.ones(2, 1).half(), "dora_scale": torch.ones(2, 1).half()}
    layer = layer_deltas(parts, Scaling(), lambda: torch.ones(2, 3).bfloat16())[""]
    check_equal(layer, torch.full((2, 3), 3**-0.5 - 1), 1e-6)


@pytest.mark.parametrize(
    ("role", "shape", "base", "message"),
    [
        (
            "dora_scale",
            (3, 1),
            (4, 5),
            r"one number for each of the weight's 4 rows or 5 columns, found shape \(3, 1\)",
        ),
        ("dora_scale", (1, 6), (4, 5), "one number for each"),
        ("dora_scale", (5,), (4, 5), "one number for each"),
        ("magnitude", (1, 5, 1, 1), (4, 5), "one number for each"),
        ("dora_scale", (4, 1), (4, 6), r"expected a delta of the base's shape \(4, 6\), found \(4, 5\)"),
        ("dora_scale", (4, 1), (4,), "floating-point matrix or convolution"),
    ],
)
def test_shapes_that_do_not_fit(role: str, shape: tuple[int, ...], base: tuple[int, ...], message: str) -> None:
    parts = {"down": torch.ones(2, 5), "up": torch.ones(4, 2), role: torch.ones(shape)}
    with pytest.raises(ValueError, match=message):
        layer_deltas(parts, Scaling(), lambda: torch.ones(base))
