"""lorarar.lora.families.transformer: layers of a small transformer shape."""

from __future__ import annotations

import pytest

from lorarar.lora.families.transformer import Stack, TransformerShape, modules

SHAPE = TransformerShape(
    16,
    {"transformer_blocks": Stack(2, modules("attn.{to_q,to_out.0}", "ff.net.{0.proj,2}"))},
    modules("proj_out"),
    text=(24, 0),
)


def test_patterns_with_two_choices() -> None:
    assert modules("{a,b}.{1,2}") == {"a.1", "a.2", "b.1", "b.2"}


@pytest.mark.parametrize(
    ("path", "shape", "expected"),
    [
        ("transformer_blocks.1.attn.to_q", (16, 16), True),
        ("transformer_blocks.1.attn.to_q", (), True),
        ("transformer_blocks.1.attn.to_q.bias", (16,), True),
        ("transformer_blocks.1.attn.to_q", (32, 32), False),  # another width
        ("transformer_blocks.1.ff.net.2", (16, 64), True),
        ("transformer_blocks.1.ff.net.2", (16, 96), False),  # a feed-forward of another width, as in FLUX.2
        ("transformer_blocks.1.ff.net.0.proj", (64, 16), True),
        ("transformer_blocks.1.ff.net.0.proj", (96, 16), False),
        ("transformer_blocks.2.attn.to_q", (16, 16), False),  # two blocks
        ("transformer_blocks.1.attn.to_k", (16, 16), False),
        ("single_transformer_blocks.0.attn.to_q", (16, 16), False),
        ("proj_out", (4, 16), True),
        ("proj_in", (4, 16), False),
        ("text_encoder.text_model.encoder.layers.0.self_attn.k_proj", (24, 24), True),
        ("text_encoder.text_model.encoder.layers.0.self_attn.k_proj", (16, 16), False),
    ],
)
def test_admitted_layers(path: str, shape: tuple[int, ...], expected: bool) -> None:
    assert SHAPE.admits(path, shape) == expected
