"""lorarar.formats.inspection.kinds: kinds of layers, and tables."""

from __future__ import annotations

import pytest

from lorarar.formats.inspection.kinds import layer_kind, table_lines

BLOCK = "up_blocks.1.attentions.0"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{BLOCK}.transformer_blocks.0.attn1.to_q", "attention q"),
        (f"{BLOCK}.transformer_blocks.0.attn2.to_v", "attention v"),
        (f"{BLOCK}.transformer_blocks.0.attn2.to_out.0", "attention out"),
        (f"{BLOCK}.transformer_blocks.0.attn2.to_out.0.bias", "bias"),
        (f"{BLOCK}.transformer_blocks.0.ff.net.0.proj", "feed-forward"),
        (f"{BLOCK}.transformer_blocks.0.norm1", "norm"),
        (f"{BLOCK}.proj_in", "projection"),
        ("down_blocks.0.resnets.0.conv1", "convolution"),
        ("down_blocks.0.downsamplers.0.conv", "convolution"),
        ("time_embedding.linear_1", "other"),
        ("transformer_blocks.3.attn.add_k_proj", "attention k"),
        ("single_transformer_blocks.3.proj_mlp", "feed-forward"),
        ("layers.3.feed_forward.w1", "feed-forward"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", "text encoder"),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", "text encoder 2"),
    ],
)
def test_kinds(path: str, expected: str) -> None:
    assert layer_kind(path) == expected


def test_columns_are_aligned() -> None:
    assert table_lines([("a", "1", "x"), ("bbb", "22", "")], indent=" ") == [" a     1  x", " bbb  22"]
