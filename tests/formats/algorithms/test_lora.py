"""LoRA, LoCon and Tucker cores against LyCORIS' modules and dense arithmetic."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lycoris.modules import LoConModule
from torch import nn

from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora.lowrank import LowRank
from tests.formats.algorithms.reference import check_equal, convolution, linear, parts_of, randomised, used_delta


@pytest.mark.parametrize("base", [linear(), convolution(), convolution(kernel=1)], ids=["linear", "3x3", "1x1"])
@pytest.mark.parametrize("tucker", [False, True])
def test_equals_lycoris(base: nn.Linear | nn.Conv2d, tucker: bool) -> None:
    module = randomised(LoConModule("x", base, lora_dim=3, alpha=1.5, use_tucker=tucker))
    layer = layer_deltas(parts_of(module), Scaling())[""]
    assert isinstance(layer, LowRank)
    assert layer.rank == 3
    assert layer.kernel == tuple(base.weight.shape[2:])
    check_equal(layer, used_delta(module, base))


def test_lycoris_alpha_has_the_root_of_rslora_in_it() -> None:
    base = linear()
    module = randomised(LoConModule("x", base, lora_dim=3, alpha=1.5, rs_lora=True))
    assert abs(module.scale - 1.5 / 3**0.5) < 1e-12
    check_equal(layer_deltas(parts_of(module), Scaling(rslora=True))[""], used_delta(module, base), 1e-6)


@given(
    rank=st.integers(1, 9),
    alpha=st.none() | st.floats(-4, 4, width=16).filter(bool),
    kernel=st.sampled_from([(), (1, 1), (3, 3), (3,), (2, 3, 3)]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_equals_dense_arithmetic(rank: int, alpha: float | None, kernel: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(rank)
    up = torch.randn(5, rank, *(1 for _ in kernel), generator=generator).to(dtype)
    down = torch.randn(rank, 4, *kernel, generator=generator).to(dtype)
    parts = {"up": up, "down": down} | ({} if alpha is None else {"alpha": torch.tensor(alpha, dtype=torch.float16)})
    layer = layer_deltas(parts, Scaling())[""]
    assert isinstance(layer, LowRank)
    assert layer.A.dtype == layer.B.dtype == dtype
    scale = 1 if alpha is None else alpha / rank
    expected = scale * torch.einsum("or,rik->oik", up.double().flatten(1), down.double().reshape(rank, 4, -1))
    check_equal(layer, expected.flatten(1), 1e-5)


def test_tensors_are_not_copied() -> None:
    up, down = torch.randn(4, 2), torch.randn(2, 3, 3, 3)
    layer = layer_deltas({"up": up, "down": down}, Scaling())[""]
    assert isinstance(layer, LowRank)
    assert (layer.A.data_ptr(), layer.B.data_ptr()) == (down.data_ptr(), up.data_ptr())


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"up": (2, 4), "down": (3, 2)}, "ranks must agree"),
        ({"up": (4, 2, 3, 3), "down": (2, 3)}, r"up must be a matrix, found shape \(4, 2, 3, 3\)"),
        ({"up": (4, 2), "down": (2,)}, r"down must be a matrix or a convolution, found shape \(2,\)"),
        ({"up": (4, 2), "down": ()}, "down must be a matrix or a convolution"),
        ({"up": (4, 2, 1, 1), "mid": (3, 2, 3, 3), "down": (2, 5)}, r"ranks of up \(4, 2, 1, 1\) and mid .* disagree"),
        ({"up": (4, 2), "mid": (2, 3, 3, 3), "down": (2, 5)}, "ranks of mid .* and down .* disagree"),
        ({"up": (4, 2), "mid": (2,), "down": (2, 5)}, "ranks of mid .* disagree"),
        ({"up": (4, 0), "down": (0, 5)}, "up is empty"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer_deltas({role: torch.ones(shape) for role, shape in shapes.items()}, Scaling())
