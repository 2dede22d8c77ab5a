"""lorarar.library.products: inner products and shares against dense arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lorarar.library.products import cosine, direction_cosine, energy, inner_layer, measure_pair
from lorarar.lora import Dense, LoRA, LowRank, concat, truncate_lora
from tests.tiny import factors, two_block_lora


@pytest.mark.parametrize("dense_a", [False, True])
@pytest.mark.parametrize("dense_b", [False, True])
def test_products_of_any_layers(dense_a: bool, dense_b: bool) -> None:
    a, b = factors(9, 7, 3, 0.5, seed=1), factors(9, 7, 2, 2.0, seed=2)
    expected = float((a.delta() * b.delta()).sum())
    layers = (Dense(a.delta()) if dense_a else a, Dense(b.delta()) if dense_b else b)
    assert inner_layer(*layers) == pytest.approx(expected, rel=1e-4)


def test_a_cosine_counts_layers_of_one_alone_in_the_norm() -> None:
    a, b = two_block_lora(2, seed=1), two_block_lora(2, seed=2)
    half = LoRA(dict(list(a.layers.items())[:4]))
    assert cosine(a, a) == pytest.approx(1)
    assert cosine(a, half) == pytest.approx((energy(half) / energy(a)) ** 0.5)
    assert cosine(a, LoRA({})) == 0
    dense = [torch.cat([layer.delta().flatten() for layer in lora.layers.values()]) for lora in (a, b)]
    assert cosine(a, b) == pytest.approx(float(dense[0] @ dense[1] / dense[0].norm() / dense[1].norm()), abs=1e-5)


def test_the_direction_counts_each_layer_alike() -> None:
    a, b = two_block_lora(2, seed=1), two_block_lora(2, seed=2)
    longer = LoRA({path: replace(f, scale=5.0**i) for i, (path, f) in enumerate(b.layers.items())})  # type: ignore[type-var]
    parts = []
    for path, f in b.layers.items():
        one, other = a.layers[path].delta(), f.delta()
        parts.append(float((one * other).sum() / one.norm() / other.norm()))
    assert direction_cosine(a, longer) == pytest.approx(sum(parts) / 8, abs=1e-5)
    assert direction_cosine(a, LoRA(dict(list(a.layers.items())[:2]))) == pytest.approx(0.5)
    assert direction_cosine(a, LoRA({})) == 0


def test_a_sum_contains_its_parts() -> None:
    a, b, other = (LoRA({"mid_block.to_q": factors(60, 50, 4, seed=i)}) for i in range(3))
    total = LoRA({"mid_block.to_q": concat([f for lora in (a, b) for f in lora.layers.values()])})  # type: ignore[misc]
    inside = measure_pair(total, a)
    assert inside.inside == pytest.approx(1, abs=1e-5)
    assert inside.outputs == pytest.approx(1, abs=1e-5)
    assert inside.outputs_by_chance == pytest.approx(8 / 60)
    outside = measure_pair(total, other)
    assert outside.inside < 0.1
    assert outside.outputs < 0.4


def test_a_truncation_is_a_projection() -> None:
    whole = LoRA({"mid_block.to_q": factors(30, 20, 8)})
    small, losses = truncate_lora(whole, rank=3)
    measure = measure_pair(whole, small)
    assert measure.projection == pytest.approx(1, abs=1e-4)
    assert measure.inside == pytest.approx(1, abs=1e-4)
    assert measure.cosine == pytest.approx(measure.ratio, abs=1e-4)
    assert measure.cosine**2 == pytest.approx(1 - losses["mid_block.to_q"].relative ** 2, abs=1e-4)


def test_padding_with_zeros_widens_no_space() -> None:
    f = factors(30, 20, 2)
    padded = LowRank(torch.cat([f.B, torch.zeros(30, 5)], 1), torch.cat([f.A, torch.randn(5, 20)]))
    measure = measure_pair(LoRA({"mid_block.to_q": padded}), LoRA({"mid_block.to_q": factors(30, 20, 2, seed=7)}))
    assert measure.outputs_by_chance == pytest.approx(2 / 30)
