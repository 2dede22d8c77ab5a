"""lorarar.mergers.methods.layers: one layer at a time, vectors summed, the rest finished."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.methods.layers import add_deltas, merge_deltas
from tests.tiny import factors

A = LoRA({"x": factors(4, 6, 2), "n": Dense(torch.arange(4.0)), "y": Dense(torch.ones(3, 2))})
B = LoRA({"n": Dense(torch.ones(4)), "x": factors(4, 6, 1, seed=1), "z": factors(3, 2, 1)})


def test_each_layer_is_merged_with_none_for_a_lora_that_lacks_it() -> None:
    seen: list[tuple[str, list[Layer | None]]] = []

    def call(deltas: Sequence[Layer | None], *, layer: str) -> Layer:
        seen.append((layer, list(deltas)))
        return LowRank(torch.ones(4, 1), torch.ones(1, 6))

    def finish(layer: str, delta: Layer) -> Layer:
        finished.append(layer)
        return Dense(delta.delta() * len(finished))

    finished: list[str] = []
    merged = merge_deltas([A, B], call, finish).layers
    expected = [("x", [A.layers["x"], B.layers["x"]]), ("y", [A.layers["y"], None]), ("z", [None, B.layers["z"]])]
    assert seen == expected
    assert finished == ["x", "y", "z"]
    assert list(merged) == ["x", "n", "y", "z"]
    assert merged["n"].delta().tolist() == [1.0, 2.0, 3.0, 4.0]
    assert float(merged["z"].delta()[0, 0]) == 3.0


def test_the_sum_of_deltas_is_exact_and_low_rank_if_possible() -> None:
    thin = add_deltas([factors(4, 6, 2, 0.5), factors(4, 6, 1, seed=1)])
    assert isinstance(thin, LowRank)
    assert thin.rank == 3
    mixed = add_deltas([factors(4, 6, 2, 0.5), Dense(torch.ones(4, 6), (2, 3))])
    assert isinstance(mixed, Dense)
    assert_close(mixed.delta(), factors(4, 6, 2, 0.5).delta() + 1)


def test_nothing_to_merge() -> None:
    with pytest.raises(ValueError, match="at least one LoRA to merge"):
        merge_deltas([], lambda deltas, layer: deltas[0])


def test_a_merger_returns_deltas() -> None:
    lora = LoRA({"a": factors(4, 3, 2)})
    with pytest.raises(TypeError, match="layer a: expected a LowRank or a Dense from the merger, found Tensor"):
        merge_deltas([lora], lambda deltas, layer: deltas[0].delta())
