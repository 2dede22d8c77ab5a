"""lorarar.mergers.balance: LoRAs brought to one length before they are merged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.mergers.balance import balance_loras
from lorarar.mergers.combination import combine
from lorarar.mergers.request import MergeRequest
from tests.tiny import factors

LAYERS = ("down_blocks.0.a.attn1.to_q", "down_blocks.0.a.attn2.to_k", "up_blocks.0.a.attn1.to_v")


def lora(seed: int, *scales: float) -> LoRA:
    return LoRA({
        path: replace(factors(6, 5, 2 + seed, seed=10 * seed + i), scale=scale)
        for i, (path, scale) in enumerate(zip(LAYERS, scales, strict=False))
    })  # fmt: skip


def lengths(lora: LoRA) -> torch.Tensor:
    return torch.stack([delta.delta().norm() for delta in lora.layers.values()])


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_lengths_of_each_layer_come_together(exponent: float) -> None:
    loras = [lora(1, 1.0, 3.0, 0.2), lora(2, 40.0, 0.5, 2.0)]
    before = torch.stack([lengths(each) for each in loras])
    balanced, factors_ = balance_loras(loras, exponent)
    after = torch.stack([lengths(each) for each in balanced])
    assert_close(after.log().mean(0), before.log().mean(0))  # the geometric mean stays
    assert_close((after[0] / after[1]).log(), (1 - exponent) * (before[0] / before[1]).log())
    rows = torch.tensor([[float(factor) for factor in row] for row in factors_.layers.values()])
    assert_close(rows.T * before, after)


def test_a_layer_of_one_lora_alone_and_a_delta_of_zeros_stay() -> None:
    first, second = lora(1, 1.0, 3.0), lora(2, 5.0)
    zero = replace(
        second, layers={**second.layers, LAYERS[1]: Dense(torch.zeros(6, 5)), LAYERS[2]: Dense(torch.ones(6, 5))}
    )
    (a, b), factors_ = balance_loras([first, zero], 1.0)
    assert_close(lengths(a)[1], lengths(first)[1])
    assert not b.layers[LAYERS[1]].delta().any()
    assert_close(b.layers[LAYERS[2]].delta(), torch.ones(6, 5))
    assert [float(factor) for factor in factors_.layers[LAYERS[2]]] == [1.0, 1.0]


@pytest.mark.parametrize("name", ["direct", "auto", "ties", "np_lora"])
def test_a_merger_sees_balanced_loras_and_weights_multiply_after(name: str) -> None:
    loras = [lora(1, 1.0, 3.0, 0.2), lora(2, 40.0, 0.5, 2.0)]
    found = combine(loras, MergeRequest(name, balance=1.0, weights=[1.0, 0.5], dense=True))
    balanced, _ = balance_loras(loras, 1.0)
    expected = combine(balanced, MergeRequest(name, balance=0.0, weights=[1.0, 0.5], dense=True))
    for path in LAYERS:
        assert_close(found.lora.layers[path].delta(), expected.lora.layers[path].delta())
    assert found.notes[0].startswith("LoRA 2 is 21.3 times as strong as LoRA 1 in the median layer: brought to one ")
    if found.coefficients:  # those of the inputs, so that anyone can repeat the merge
        for path, row in found.coefficients.layers.items():
            again = sum(each.layers[path].delta() * m for each, m in zip(loras, row, strict=True))
            assert_close(found.lora.layers[path].delta(), again)


def test_balance_0_is_the_exact_sum_and_one_file_stays() -> None:
    first, second = lora(1, 1.0, 3.0, 0.2), lora(2, 40.0, 0.5, 2.0)
    both = combine([first, second], MergeRequest("direct", balance=0.0))
    for path in LAYERS:
        assert_close(both.lora.layers[path].delta(), first.layers[path].delta() + second.layers[path].delta())
    assert both.notes == ()
    alone = combine([first])
    assert alone.method.name == "auto"
    for path in LAYERS:
        assert torch.equal(alone.lora.layers[path].delta(), first.layers[path].delta())


def test_a_note_says_how_strong_the_loras_are_and_what_balancing_leaves() -> None:
    loras = [replace(lora(1, 1.0, 1.0, 1.0), name="a"), replace(lora(2, 1.0, 1.0, 1.0), name="b")]
    loras[1] = replace(
        loras[0], name="b", layers={path: replace(delta, scale=16.0) for path, delta in loras[0].layers.items()}
    )
    assert combine(loras, MergeRequest("direct", balance=0.5)).notes[0] == (
        "b is 16 times as strong as a in the median layer: brought to 4 times (balance 0.5, 3 of 3 layers)"
    )
    swapped = combine(loras[::-1], MergeRequest("direct", balance=1.0)).notes[0]
    assert (
        swapped == "b is 16 times as strong as a in the median layer: brought to one length (balance 1, 3 of 3 layers)"
    )


def test_a_note_compares_loras_that_share_layers() -> None:
    long, short = lora(1, 8.0), replace(lora(1, 1.0, 1.0), name="b")
    other = LoRA({LAYERS[1]: replace(short.layers[LAYERS[1]], scale=0.01)}, name="c")  # shares no layer with the first
    (note,) = combine([replace(long, name="a"), short, other], MergeRequest("direct", balance=1.0)).notes[:1]
    assert note.startswith("b is 100 times as strong as c in the median layer")
    loras = [lora(1, 1.0, 4.0), lora(1, 4.0, 1.0)]  # each is the longer one once
    (note,) = combine(loras, MergeRequest("direct", balance=0.5)).notes[:1]
    assert note == "the lengths of each layer were brought closer to one (balance 0.5, 2 of 2 layers)"


@pytest.mark.parametrize("name", ["auto", "direct", "ties", "np_lora", "knots"])
def test_a_lora_of_weight_0_takes_no_part(name: str) -> None:
    first, second = lora(1, 1.0, 3.0, 0.2), lora(2, 40.0, 0.5, 2.0)
    for weights, kept in (([1.0, 0.0], first), ([0.0, 1.0], second)):
        merged = combine([first, second], MergeRequest(name, balance=0.5, weights=weights, dense=True))
        alone = combine([kept], MergeRequest(name, balance=0.5, dense=True))
        for path in LAYERS:
            assert_close(merged.lora.layers[path].delta(), alone.lora.layers[path].delta())
            if name in ("auto", "direct"):
                assert_close(merged.lora.layers[path].delta(), kept.layers[path].delta())


def test_a_block_of_weight_0_takes_no_part() -> None:
    first, second = lora(1, 1.0, 3.0, 0.2), lora(2, 40.0, 0.5, 2.0)
    start = LAYERS[0].rpartition(".")[0]
    merged = combine([first, second], MergeRequest("auto", blocks={start: [1.0, 0.0]}))
    both = combine([first, second], MergeRequest("auto"))
    for path in LAYERS:
        expected = first if f"{path}.".startswith(f"{start}.") else both.lora
        assert_close(merged.lora.layers[path].delta(), expected.layers[path].delta())
    silent = combine([first, second], MergeRequest("auto", weights=[0.0, 0.0]))
    assert silent.lora.layers.keys() == both.lora.layers.keys()
    assert not any(delta.delta().any() for delta in silent.lora.layers.values())


def test_three_loras_keep_the_length_of_the_sum() -> None:
    loras = [lora(seed, 1.0, 1.0, 1.0) for seed in (1, 2, 3)]
    two, three = (
        combine(loras[:2], MergeRequest("auto", balance=0.0)),
        combine(loras, MergeRequest("auto", balance=0.0)),
    )
    assert two.coefficients
    assert three.coefficients
    ratio = three.coefficients.layers[LAYERS[0]][0] / two.coefficients.layers[LAYERS[0]][0]
    assert_close(ratio, torch.tensor((2 / 3) ** 0.5))


@pytest.mark.parametrize("balance", [-0.1, 1.1, float("nan")])
def test_an_exponent_outside_0_to_1_is_refused(balance: float) -> None:
    with pytest.raises(ValueError, match="expected `balance` from 0"):
        combine([lora(1, 1.0), lora(2, 1.0)], MergeRequest("direct", balance=balance))
