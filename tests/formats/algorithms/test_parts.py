"""Dtypes of parts: float8 is widened without loss, integers are rejected."""

from __future__ import annotations

import pytest
import torch

from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.parts import kron, prepare
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora.lowrank import LowRank, concat, norm, truncate

_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu)


@pytest.mark.parametrize("dtype", _FLOAT8)
def test_float8_is_widened_without_loss(dtype: torch.dtype) -> None:
    every = torch.arange(256, dtype=torch.uint8).view(dtype)
    finite = every[every.float().isfinite()]
    widened = prepare({"diff": finite})["diff"]
    assert widened.dtype in (torch.float16, torch.float32)
    assert len(finite) > 100
    assert torch.equal(widened.float(), finite.float())


def test_float8_factors_can_be_computed_with() -> None:
    up, down = torch.randn(5, 2).to(torch.float8_e4m3fn), torch.randn(2, 6).to(torch.float8_e4m3fn)
    layer = layer_deltas({"up": up, "down": down}, Scaling(alpha=1.0))[""]
    assert isinstance(layer, LowRank)
    expected = 0.5 * up.float() @ down.float()
    assert torch.allclose(layer.delta(), expected)
    assert torch.allclose(concat([layer, layer]).delta(), 2 * expected)
    assert norm(truncate(layer, 1)[0]) > 0


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_other_types_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"down is stored as {dtype}.*dequantise"):
        layer_deltas({"up": torch.ones(5, 2), "down": torch.ones(2, 6).to(dtype)}, Scaling())


@pytest.mark.parametrize("shapes", [((1, 3), (4, 1)), ((2, 3), (3, 2)), ((3, 1), (1, 1))])
def test_kron_equals_torch(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    a, b = (torch.randn(shape) for shape in shapes)
    assert torch.equal(kron(a, b), torch.kron(a, b))
    assert torch.equal(kron(a.T, b.T), torch.kron(a, b).T)


def test_types_may_be_mixed() -> None:
    roles = {"up": (5, 2, 1, 1), "mid": (2, 2, 3, 3), "down": (2, 4, 1, 1)}
    types = (torch.float16, torch.bfloat16, torch.float64)
    parts = {role: torch.ones(shape, dtype=dtype) for (role, shape), dtype in zip(roles.items(), types, strict=True)}
    for chosen in (parts, {"up": parts["up"], "down": parts["down"]}):
        delta = layer_deltas(chosen, Scaling())[""].delta()
        assert delta.dtype == torch.float64
        assert delta.unique().tolist() == [2.0 * len(chosen) - 2]
