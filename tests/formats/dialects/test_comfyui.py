"""lorarar.formats.dialects.comfyui: accepted and rejected keys."""

from __future__ import annotations

import pytest

from lorarar.formats.dialects.comfyui import parse
from lorarar.formats.naming.keys import Key

SGM = "input_blocks.4.1.transformer_blocks.0.attn1.to_q"
CLIP = "text_model.encoder.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("key", "model", "path", "role"),
    [
        (f"diffusion_model.{SGM}.lora_A.weight", "", SGM, "down"),
        (f"model.diffusion_model.{SGM}.lora_B.default.weight", "", SGM, "up"),
        ("diffusion_model.double_blocks.0.img_attn.qkv.alpha", "", "double_blocks.0.img_attn.qkv", "alpha"),
        (f"text_encoders.clip_g.transformer.{CLIP}.lora_up.weight", "text_encoder_2", CLIP, "up"),
    ],
)
def test_accepted_keys(key: str, model: str, path: str, role: str) -> None:
    assert parse(key) == Key("ComfyUI", model, path, role)


@pytest.mark.parametrize(
    "key",
    [
        "diffusion_model.blocks.0.cross_attn.k.lora_A.weight",  # a layer of no supported model
        f"diffusion_model.{SGM}.weight",  # the model's own weight
        f"unet.{SGM}.lora_A.weight",
        f"text_encoders.qwen.transformer.{CLIP}.lora_up.weight",
    ],
)
def test_keys_of_others(key: str) -> None:
    assert parse(key) is None
