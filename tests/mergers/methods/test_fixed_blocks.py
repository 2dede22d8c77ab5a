"""lorarar.mergers.methods.fixed_blocks: which LoRA each block of SDXL and FLUX.1 gets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.mergers.combination import combine
from lorarar.mergers.methods.fixed_blocks import fixed_blocks
from lorarar.mergers.request import MergeRequest
from tests.tiny import factors


def pair(family: str, paths: Sequence[str]) -> list[LoRA]:
    return [LoRA({p: factors(6, 8, rank, 1.0, rank) for p in paths}, family=family) for rank in (2, 3)]


@pytest.mark.parametrize(
    ("family", "content", "style", "neither"),
    [
        (
            "sdxl",
            ["up_blocks.0.attentions.0.transformer_blocks.9.attn1.to_q"],
            ["up_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q"],
            ["up_blocks.0.attentions.2.proj_in", "up_blocks.1.attentions.0.proj_in", "mid_block.attentions.0.proj_in"],
        ),
        (  # blocks 20, 29, 30 and 57 of 57
            "flux",
            ["single_transformer_blocks.0.attn.to_q", "single_transformer_blocks.9.attn.to_q"],
            ["single_transformer_blocks.10.attn.to_q", "single_transformer_blocks.37.attn.to_q"],
            ["transformer_blocks.0.attn.to_q", "transformer_blocks.18.attn.to_q", "proj_out"],
        ),
    ],
)
def test_each_lora_acts_in_its_blocks(family: str, content: list[str], style: list[str], neither: list[str]) -> None:
    loras = pair(family, [*content, *style, *neither])
    merged = merge_exactly(loras, fixed_blocks(loras))
    for path, delta in merged.layers.items():
        expected = loras[path in style].layers[path].delta() * (path not in neither)
        assert torch.equal(delta.delta(), expected), path


def test_a_lora_of_weight_0_leaves_the_other_in_its_blocks() -> None:
    loras = pair("sdxl", ["up_blocks.0.attentions.0.proj_in", "up_blocks.0.attentions.1.proj_in"])
    merged = combine(loras, MergeRequest("fixed_blocks", weights=[0.0, 1.0])).lora
    for index, (path, delta) in enumerate(merged.layers.items()):
        assert torch.equal(delta.delta(), index * loras[1].layers[path].delta()), path


def test_other_families_and_loras_without_the_blocks_are_refused() -> None:
    for family, name in (("sd15", "sd15"), ("", "an unknown family"), ("embedded", "embedded")):
        with pytest.raises(ValueError, match=f"of the family sdxl or flux, .*found {name}"):
            fixed_blocks(pair(family, ["up_blocks.0.attentions.0.proj_in"]))
    with pytest.raises(ValueError, match="layers of the style in up_blocks.0.attentions.1.*swap the two"):
        fixed_blocks(pair("sdxl", ["up_blocks.0.attentions.0.proj_in"]))
