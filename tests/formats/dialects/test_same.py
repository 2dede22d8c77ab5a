"""The dialect "same": layers under the names in their files."""

from __future__ import annotations

import pytest
import torch

from lorarar.formats.dialects.same import write
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.lora.rows import Rows, whole_layer
from lorarar.storage.atomic import FormatError


def test_endings_follow_the_form_of_the_name() -> None:
    up, down = torch.ones(3, 2), torch.ones(2, 4)
    layers = {
        "a": LowRank(up, down, 0.5),
        "b": LowRank(up, down, 0.5),
        "c": Dense(torch.ones(3)),
        "c.bias": Dense(down),
    }
    names = {"lora_unet_a": whole_layer("a"), "x.b": whole_layer("b"), "x.c": whole_layer("c"), "x.d": whole_layer("d")}
    tensors = write(LoRA(layers, names=names))
    assert {key: tuple(tensor.shape) for key, tensor in tensors.items()} == {
        "lora_unet_a.lora_down.weight": (2, 4),
        "lora_unet_a.lora_up.weight": (3, 2),
        "lora_unet_a.alpha": (),
        "x.b.lora_A.weight": (2, 4),
        "x.b.lora_B.weight": (3, 2),
        "x.c.w_norm": (3,),
        "x.c.b_norm": (2, 4),
    }
    assert float(tensors["lora_unet_a.alpha"]) == 1
    assert torch.equal(tensors["x.b.lora_A.weight"], down / 2)


def test_fused_layers_are_put_together_again() -> None:
    down = torch.randn(1, 2)
    layers = {"q": LowRank(torch.ones(2, 1), down), "k": LowRank(torch.full((2, 1), 2.0), down)}
    tensors = write(LoRA(layers, names={"x.q": whole_layer("q"), "x.qk": Rows((("q", 1), ("k", 1)))}))
    assert tensors.keys() == {"x.qk.lora_A.weight", "x.qk.lora_B.weight"}
    assert tensors["x.qk.lora_B.weight"].flatten().tolist() == [1, 1, 2, 2]


def test_a_layer_without_a_name_is_refused() -> None:
    layer = LowRank(torch.ones(2, 1), torch.ones(1, 2))
    with pytest.raises(FormatError, match="found 1 without one, first b: write the LoRA with"):
        write(LoRA({"a": layer, "b": layer}, names={"x.a": whole_layer("a")}))
