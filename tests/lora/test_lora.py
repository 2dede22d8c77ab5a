"""lorarar.lora.lora: names, summaries, checks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lorarar.lora.lora import LoRA, block, check_same_shapes, is_text_encoder, label, projection
from tests.tiny import factors, two_block_lora


@pytest.mark.parametrize(
    ("layer", "role", "place"),
    [
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "to_q", "down_blocks.1"),
        ("mid_block.attentions.0.transformer_blocks.9.attn2.to_out.0", "to_out", "mid_block"),
        ("transformer_blocks.12.attn.add_k_proj", "add_k_proj", "transformer_blocks.12"),
        ("text_encoder_2.text_model.encoder.layers.3.self_attn.q_proj", "q_proj", "text_encoder_2"),
        ("proj_out", "proj_out", "proj_out"),
    ],
)
def test_projection_and_block(layer: str, role: str, place: str) -> None:
    assert (projection(layer), block(layer)) == (role, place)


def test_text_encoder_layers_are_distinguished() -> None:
    assert is_text_encoder("text_encoder.text_model.x")
    assert not is_text_encoder("text_encoders.x")
    assert not is_text_encoder("mid_block.attentions.0.to_q")


def test_widths_counts_shapes() -> None:
    assert two_block_lora(2).widths() == {(6, 6): 4, (12, 12): 4}


def test_to_moves_every_layer_and_keeps_the_rest() -> None:
    moved = replace(two_block_lora(2, 0.1), name="x", metadata={"k": "v"}).to(dtype=torch.float16)
    assert {f.A.dtype for f in moved.layers.values()} == {torch.float16}
    assert {f.scale for f in moved.layers.values()} == {0.1}
    assert (moved.name, moved.metadata) == ("x", {"k": "v"})


def test_label_falls_back_on_the_position() -> None:
    assert label(LoRA({}, name="cat.safetensors"), 0) == "cat.safetensors"
    assert label(LoRA({}), 1) == "LoRA 2"


def test_other_ranks_and_other_layers_pass() -> None:
    whole = two_block_lora(5, 0.5)
    check_same_shapes([two_block_lora(2), whole, LoRA(dict(list(whole.layers.items())[:-1]))])
    check_same_shapes([])


def test_differing_shapes_are_named_with_a_remedy() -> None:
    a = LoRA({"x": factors(4, 4, 1), "y": factors(4, 4, 1)}, name="a")
    b = LoRA({"x": factors(4, 4, 2), "y": factors(4, 5, 1)}, name="b")
    with pytest.raises(
        ValueError, match=r"a and b were made for different base models: 1 layers.*y: \(4, 4\) and \(4, 5\)"
    ):
        check_same_shapes([a, b])
