"""lorarar.hypernetwork.constant: grouping, values, gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger, constant_merger, groups_of
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from tests.tiny import factors, two_block_lora

LORAS = [two_block_lora(2), two_block_lora(3, seed=40)]
Q = [
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q",
]


def test_groups_of_a_lora() -> None:
    assert groups_of(LORAS[0], "width") == ("6", "12")
    layers = groups_of(LORAS[0], "layer")
    assert len(layers) == 4
    assert Q[0] in layers
    assert groups_of(LORAS[0], "layer", ("to_k",)) == tuple(
        layer for layer in LORAS[0].layers if layer.endswith("to_k")
    )


@pytest.mark.parametrize("group", ["width", "layer"])
def test_each_group_has_its_own_number_for_each_lora(group: str) -> None:
    config = ConstantConfig(groups_of(LORAS[0], group), group, fixed=0.5)  # type: ignore[arg-type]
    merger = ConstantMerger(config)
    with torch.no_grad():
        merger.values.copy_(torch.arange(merger.values.numel()).view(-1, 2))
    found = merger(LORAS).layers
    for layer in Q:
        row = config.groups.index("6" if layer == Q[0] else "12") if group == "width" else config.groups.index(layer)
        width = LORAS[0].layers[layer].shape[1]
        assert [m.tolist() for m in found[layer]] == [[2.0 * row] * width, [2.0 * row + 1] * width]
    assert found[Q[0].replace("to_q", "to_v")][1].tolist() == 0.5


def test_the_initial_value_and_the_gradient() -> None:
    merger = ConstantMerger(ConstantConfig(("6", "12"), initial=0.8))
    found = merger(LORAS).layers[Q[1]]
    assert found[0].tolist() == pytest.approx([0.8] * 12)
    found[0].sum().backward()
    assert merger.values.grad is not None
    assert merger.values.grad.tolist() == [[0.0, 0.0], [12.0, 0.0]]


def test_groups_go_by_the_out_width() -> None:
    lora = LoRA({"x.to_q": factors(6, 9, 2)})
    assert groups_of(lora, "width") == ("6",)
    assert len(ConstantMerger(ConstantConfig(("6",)))([lora, lora]).layers["x.to_q"][0]) == 9


def test_errors() -> None:
    with pytest.raises(ValueError, match="expected 2 LoRAs for this merger, found 1"):
        ConstantMerger(ConstantConfig(("6", "12")))(LORAS[:1])
    with pytest.raises(
        ValueError,
        match=r"the merger's 1 width groups, first \['6'\], found 1 other groups in the LoRAs, first \['12'\]",
    ):
        ConstantMerger(ConstantConfig(("6",)))(LORAS)
    for groups in ((), ("6", "6")):
        with pytest.raises(ValueError, match="distinct groups"):
            ConstantMerger(ConstantConfig(groups))
    with pytest.raises(ValueError, match="among width, projection, layer, column, rank, found 'block'"):
        ConstantMerger(ConstantConfig(("6",), "block"))  # type: ignore[arg-type]


def test_given_numbers_by_width_and_by_projection() -> None:
    by_width = constant_merger({"6": [0.25, 0.5], "12": [0.75, 1.5]}, fixed=0.125)(LORAS).layers
    assert [float(m[0]) for m in by_width[Q[1]]] == [0.75, 1.5]
    assert [m.tolist() for m in by_width[Q[1].replace("to_q", "to_k")]] == [0.125, 0.125]
    by_projection = constant_merger({"to_k": [0.25, 0.5], "to_v": [0.75, 1.5]}, "projection")(LORAS).layers
    assert [m.tolist() for m in by_projection[Q[0].replace("to_q", "to_k")]] == [[0.25] * 6, [0.5] * 6]
    assert [m.tolist() for m in by_projection[Q[0]]] == [1.0, 1.0]
    assert groups_of(LORAS[0], "projection") == ("to_q", "to_out")
    for numbers in ({}, {"6": [1.0], "12": [1.0, 2.0]}):
        with pytest.raises(ValueError, match="one coefficient for each LoRA in each width"):
            constant_merger(numbers)


def test_convolutions_norms_and_layers_of_one_lora() -> None:
    odd = LoRA(
        {"x.to_q": replace(factors(6, 9, 1), kernel=(3, 3)), "y.to_q": Dense(torch.ones(6)), Q[0]: factors(6, 6, 1)}
    )
    merger = constant_merger({"6": [0.25, 0.5], "12": [0.75, 1.5]})
    assert merger.predicted([odd, LORAS[1]])[0] == Q[0]
    found = merger([odd, LORAS[1]]).layers
    assert [m.ndim for layer in ("x.to_q", "y.to_q", Q[0], Q[1]) for m in found[layer]] == [0, 0, 0, 0, 1, 1, 1, 1]
