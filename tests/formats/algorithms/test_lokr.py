"""LoKr against LyCORIS' module, peft's layer and dense arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lycoris.modules import LokrModule
from peft import LoKrConfig, get_peft_model
from peft.tuners.lokr.layer import Linear
from torch import Tensor, nn

from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank
from tests.formats.algorithms.reference import check_equal, convolution, linear, parts_of, randomised, used_delta


@pytest.mark.parametrize("base", [linear(), convolution(), convolution(kernel=1)], ids=["linear", "3x3", "1x1"])
@pytest.mark.parametrize(
    "options",
    [
        {"lora_dim": 1},
        {"lora_dim": 1, "decompose_both": True},
        {"lora_dim": 1, "use_tucker": True},
        {"lora_dim": 1, "use_tucker": True, "decompose_both": True},
        {"lora_dim": 2, "factor": 2},
        {"lora_dim": 1, "full_matrix": True},
    ],
)
def test_equals_lycoris(base: nn.Linear | nn.Conv2d, options: dict[str, Any]) -> None:
    module = randomised(LokrModule("x", base, alpha=1.5, **options))
    check_equal(layer_deltas(parts_of(module), Scaling())[""], used_delta(module, base))


@pytest.mark.parametrize("rank", [1, 16], ids=["thin", "full"])
def test_equals_peft(rank: int) -> None:
    model = get_peft_model(nn.Sequential(nn.Linear(12, 18)), LoKrConfig(r=rank, alpha=3, target_modules=["0"]))
    adapted = model.get_submodule("base_model.model.0")
    assert isinstance(adapted, Linear)
    adapted.reset_adapter_parameters_random("default")
    names = ("lokr_w1", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
    parts = {name: getattr(adapted, name)["default"].detach() for name in names if "default" in getattr(adapted, name)}
    assert ("lokr_w2" in parts) == (rank == 16)
    layer = layer_deltas(parts, Scaling(alpha=3.0, rank=rank))[""]
    check_equal(layer, adapted.get_delta_weight("default").detach(), 1e-6)


def _side(
    number: int, rows: int, columns: int, rank: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the parts of one Kronecker factor, full for rank 0, and the factor itself."""
    name = f"lokr_w{number}"
    if not rank:
        whole = torch.randn(rows, columns, generator=generator)
        return {name: whole}, whole.double()
    up, down = torch.randn(rows, rank, generator=generator), torch.randn(rank, columns, generator=generator)
    return {f"{name}_a": up, f"{name}_b": down}, up.double() @ down.double()


@given(sizes=st.tuples(*(st.integers(1, 6) for _ in range(4))), ranks=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_equals_dense_arithmetic(sizes: tuple[int, int, int, int], ranks: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(sum(sizes))
    (one, w1), (two, w2) = (
        _side(index + 1, *sizes[2 * index : 2 * index + 2], ranks[index], generator) for index in (0, 1)
    )
    rank = ranks[1] or ranks[0]
    scale = 0.7 / rank if rank else 1.0  # alpha is ignored if both sides are full
    layer = layer_deltas({**one, **two, "alpha": torch.tensor(0.7)}, Scaling())[""]
    check_equal(layer, scale * torch.kron(w1, w2), 1e-5)
    thinnest = [min(*sizes[2 * i : 2 * i + 2], ranks[i] or 99) for i in (0, 1)]
    factored = thinnest[0] * thinnest[1] < min(layer.shape)
    assert isinstance(layer, LowRank if factored else Dense)
    assert not isinstance(layer, LowRank) or layer.rank == thinnest[0] * thinnest[1]


def test_a_large_layer_keeps_its_factors() -> None:
    parts = {"lokr_w1": torch.randn(8, 8), "lokr_w2_a": torch.randn(160, 4), "lokr_w2_b": torch.randn(4, 160)}
    layer = layer_deltas(parts, Scaling())[""]
    assert isinstance(layer, LowRank)
    assert (layer.shape, layer.rank) == ((1280, 1280), 32)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"lokr_w1": (2, 2, 3, 3), "lokr_w2": (3, 3)}, "lokr_w1 must be a matrix"),
        ({"lokr_w1_a": (2, 2), "lokr_w1_b": (2, 2, 3, 3), "lokr_w2": (3, 3)}, "lokr_w1 must be a matrix"),
        ({"lokr_w1": (2, 2), "lokr_w2": (3,)}, "lokr_w2 must be a matrix or a convolution"),
        ({"lokr_w1": (2, 2), "lokr_w2_a": (3, 2), "lokr_w2_b": (3, 3)}, "ranks of lokr_w2_a .* disagree"),
        (
            {"lokr_w1": (2, 2), "lokr_w2_a": (3, 2), "lokr_w2_b": (2, 3), "lokr_t2": (2, 2, 3, 3)},
            "ranks of lokr_w2_a .* and lokr_t2 .* disagree",
        ),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer_deltas({role: torch.ones(shape) for role, shape in shapes.items()}, Scaling())
