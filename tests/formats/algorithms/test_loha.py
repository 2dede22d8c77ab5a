"""LoHa against LyCORIS' module, peft's layer and dense arithmetic."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lycoris.modules import LohaModule
from peft import LoHaConfig, get_peft_model
from peft.tuners.loha.layer import Linear
from torch import nn

from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank
from tests.formats.algorithms.reference import check_equal, convolution, linear, parts_of, randomised, used_delta


@pytest.mark.parametrize("base", [linear(), convolution(), convolution(kernel=1)], ids=["linear", "3x3", "1x1"])
@pytest.mark.parametrize("tucker", [False, True])
@pytest.mark.parametrize("rank", [1, 3, 4, 9])
def test_equals_lycoris(base: nn.Linear | nn.Conv2d, tucker: bool, rank: int) -> None:
    module = randomised(LohaModule("x", base, lora_dim=rank, alpha=1.5, use_tucker=tucker))
    layer = layer_deltas(parts_of(module), Scaling())[""]
    check_equal(layer, used_delta(module, base))
    thin = rank**2 < min(12, base.weight[0].numel())
    assert isinstance(layer, LowRank if thin else Dense)
    assert layer.kernel == (tuple(base.weight.shape[2:]) if tucker and base.weight[0, 0].numel() > 1 else ())
    assert not isinstance(layer, LowRank) or layer.rank == rank**2


def test_equals_peft() -> None:
    model = get_peft_model(nn.Sequential(nn.Linear(6, 8)), LoHaConfig(r=2, alpha=3, target_modules=["0"]))
    adapted = model.get_submodule("base_model.model.0")
    assert isinstance(adapted, Linear)
    adapted.reset_adapter_parameters_random("default")
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    parts = {name: getattr(adapted, name)["default"].detach() for name in names}
    check_equal(layer_deltas(parts, Scaling(alpha=3.0))[""], adapted.get_delta_weight("default").detach(), 1e-6)


@given(
    ranks=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    sides=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
)
def test_equals_dense_arithmetic(ranks: tuple[int, int], sides: tuple[int, int], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(sum(sides))
    a, b, c, d = (
        torch.randn(shape, generator=generator).to(dtype)
        for rank in ranks
        for shape in ((sides[0], rank), (rank, sides[1]))
    )
    parts = {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d, "alpha": torch.tensor(0.7)}
    expected = 0.7 / ranks[0] * (a.double() @ b.double()) * (c.double() @ d.double())
    layer = layer_deltas(parts, Scaling())[""]
    check_equal(layer, expected, 1e-5)
    assert isinstance(layer, LowRank) == (ranks[0] * ranks[1] < min(sides))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hada_w1_a": (6, 3)}, r"ranks of hada_w1_a \(6, 3\) and hada_w1_b \(2, 5\) disagree"),
        ({"hada_w2_a": (7, 2)}, r"equal shapes, found \(6, 5\) and \(7, 5\)"),
        ({"hada_w2_b": (2,)}, "hada_w2_b must be a matrix"),
        ({"hada_t1": (2, 2, 3, 3), "hada_t2": (2, 2, 3, 3)}, "ranks of hada_w1_a .* and hada_t1 .* disagree"),
    ],
)
def test_shapes_that_do_not_fit(changed: dict[str, tuple[int, ...]], message: str) -> None:
    shapes = {"hada_w1_a": (6, 2), "hada_w1_b": (2, 5), "hada_w2_a": (6, 2), "hada_w2_b": (2, 5)} | changed
    with pytest.raises(ValueError, match=message):
        layer_deltas({role: torch.ones(shape) for role, shape in shapes.items()}, Scaling())
