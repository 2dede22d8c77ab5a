"""lorarar.formats.dialects.kept: keys of models that are not known."""

from __future__ import annotations

import pytest

from lorarar.formats.dialects.kept import parse
from lorarar.formats.naming.keys import Key


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("lora_unet_blocks_0_foo_12_bar_1.lora_down.weight", Key("kohya", "", "blocks.0.foo.12.bar.1", "down")),
        ("lora_te_layers_0_self_attn.alpha", Key("kohya", "text_encoder", "layers.0.self_attn", "alpha")),
        ("lora_te3_layers_0_x.lora_up.weight", Key("kohya", "text_encoder_3", "layers.0.x", "up")),
        ("lycoris_foo_1.lokr_w1", Key("kohya", "", "foo.1", "lokr_w1")),
        ("diffusion_model.foo.0.bar.lora_A.default.weight", Key("ComfyUI", "", "foo.0.bar", "down")),
        ("text_encoders.qwen.transformer.x.lora_B.weight", Key("ComfyUI", "text_encoder", "qwen.transformer.x", "up")),
        ("foo.lora_A.weight", Key("unknown", "", "foo", "down")),
        ("foo.0.weight", None),
        ("foo.lora_A", None),
    ],
)
def test_a_key_is_known_by_its_prefix_and_ending(key: str, expected: Key | None) -> None:
    assert parse(key) == expected
