"""lorarar.lora.coefficients against dense float64 arithmetic."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from lorarar.lora.coefficients import Coefficients, merge_exactly, summarise_coefficients
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from tests.tiny import dense, factors, two_block_lora

dtypes = st.sampled_from([torch.float16, torch.bfloat16, torch.float32])


def vectors(loras: list[LoRA], seed: int = 0) -> Coefficients:
    generator = torch.Generator().manual_seed(seed)
    shapes = {layer: f.shape[1] for lora in loras for layer, f in lora.layers.items()}
    return Coefficients(
        {layer: tuple(torch.randn(width, generator=generator) for _ in loras) for layer, width in shapes.items()}
    )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0.05, 3), dtypes), min_size=1, max_size=3))
def test_merge_is_the_sum_of_column_scaled_deltas(parts: list[tuple[int, float, torch.dtype]]) -> None:
    loras = [two_block_lora(rank, scale, 20 * i, dtype=dtype) for i, (rank, scale, dtype) in enumerate(parts)]
    c = vectors(loras)
    merged = merge_exactly(loras, c)
    assert list(merged.layers) == list(loras[0].layers)
    for layer, f in merged.layers.items():
        expected = sum(dense(lora.layers[layer]) * m.double() for lora, m in zip(loras, c.layers[layer], strict=True))
        assert_close(dense(f), expected, rtol=1e-5, atol=1e-4)
        assert f.rank == sum(rank for rank, _, _ in parts)


def test_one_lora_at_weight_one_is_unchanged() -> None:
    lora = two_block_lora(3, 0.1, dtype=torch.float16)
    merged = merge_exactly([lora], Coefficients({layer: (torch.tensor(1.0),) for layer in lora.layers}))
    for layer, f in lora.layers.items():
        got = merged.layers[layer]
        assert torch.equal(got.B.half(), f.B)
        assert torch.equal(got.A.half(), f.A)
        assert got.scale == 0.1


def test_a_layer_of_only_one_input_is_merged_from_this_input() -> None:
    a = LoRA({"x": factors(4, 5, 2, 0.5), "y": factors(4, 5, 2)})
    b = LoRA({"y": factors(4, 5, 3, seed=1), "z": factors(4, 5, 3, 2.0, seed=2)})
    two, three = torch.tensor(2.0), torch.tensor(3.0)
    merged = merge_exactly([a, b], Coefficients(dict.fromkeys("xyz", (two, three))))
    assert list(merged.layers) == ["x", "y", "z"]
    assert_close(dense(merged.layers["x"]), 2 * dense(a.layers["x"]), rtol=1e-5, atol=1e-5)
    assert_close(dense(merged.layers["z"]), 3 * dense(b.layers["z"]), rtol=1e-5, atol=1e-5)
    both = 2 * dense(a.layers["y"]) + 3 * dense(b.layers["y"])
    assert_close(dense(merged.layers["y"]), both, rtol=1e-5, atol=1e-5)


def test_gradient_with_respect_to_a_coefficient() -> None:
    a, b = LoRA({"x": factors(4, 5, 2, 0.5)}), LoRA({"x": factors(4, 5, 3, 2.0, seed=1)})
    m = torch.ones(5, requires_grad=True)
    merge_exactly([a, b], Coefficients({"x": (m, torch.ones(5))})).layers["x"].delta().square().sum().backward()
    expected = 2 * ((dense(a.layers["x"]) + dense(b.layers["x"])) * dense(a.layers["x"])).sum(0)
    assert m.grad is not None
    assert_close(m.grad.double(), expected, rtol=1e-4, atol=1e-4)


def test_errors() -> None:
    a, b = LoRA({"x": factors(4, 5, 2)}, name="a"), LoRA({"x": factors(4, 5, 3)}, name="b")
    one = torch.tensor(1.0)
    with pytest.raises(ValueError, match="found none"):
        merge_exactly([], Coefficients({}))
    with pytest.raises(ValueError, match=r"cover 1 layers and lack 1 of the LoRAs' 1, first \['x'\]"):
        merge_exactly([a, b], Coefficients({"q": (one, one)}))
    with pytest.raises(ValueError, match="layer x: expected 2 coefficient vectors.*found 1"):
        merge_exactly([a, b], Coefficients({"x": (one,)}))
    with pytest.raises(ValueError, match=r"b, layer x: expected one coefficient per column, shape \(5,\)"):
        merge_exactly([a, b], Coefficients({"x": (one, torch.ones(4))}))
    with pytest.raises(ValueError, match=r"a and LoRA 2 were made for different base models"):
        merge_exactly([a, LoRA({"x": factors(4, 6, 3)})], Coefficients({"x": (one, one)}))


def test_summary_by_block_and_projection() -> None:
    q = "down_blocks.1.attentions.0.transformer_blocks.{}.attn1.to_q"
    c = Coefficients(
        {
            q.format(0): (torch.tensor([0.0, 2.0]), torch.tensor(1.0)),
            q.format(1): (torch.tensor([4.0, 6.0]), torch.tensor(1.0)),
            "mid_block.attentions.0.to_out.0": (torch.tensor([1.0]), torch.tensor([-1.0])),
        }
    )
    summary = summarise_coefficients(c)
    assert summary["down_blocks.1"]["to_q"][0] == {
        "mean": 3.0,
        "std": pytest.approx(5**0.5, abs=1e-5),
        "min": 0.0,
        "max": 6.0,
    }
    assert summary["mid_block"]["to_out"][1] == {"mean": -1.0, "std": 0.0, "min": -1.0, "max": -1.0}
    assert json.loads(json.dumps(summary)) == summary


def test_a_dense_sum_has_the_kernel_of_any_part() -> None:
    flat = LoRA({"conv": Dense(torch.ones(4, 18))})
    with_kernel = LoRA({"conv": LowRank(torch.ones(4, 1), torch.ones(1, 18), kernel=(3, 3))})
    for loras in ([flat, with_kernel], [with_kernel, flat]):
        assert merge_exactly(loras, Coefficients({"conv": (torch.ones(()), torch.ones(()))})).layers["conv"].kernel == (
            3,
            3,
        )
