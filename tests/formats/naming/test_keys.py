"""lorarar.formats.naming.keys: the model and the path of a dotted key."""

from __future__ import annotations

import pytest

from lorarar.formats.naming.keys import layer_path, locate, text_path

CLIP = "text_model.encoder.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("unet.unet.mid_block.x", ("", "mid_block.x")),
        ("transformer.img_in", ("", "img_in")),
        ("model.diffusion_model.x", ("", "diffusion_model.x")),
        (f"base_model.model.{CLIP}", ("text_encoder", CLIP)),
        (f"text_encoder_2.{CLIP}", ("text_encoder_2", CLIP)),
        (f"text_encoder.{CLIP.removeprefix('text_model.')}", ("text_encoder", CLIP)),
        ("text_encoder", ("", "text_encoder")),
    ],
)
def test_the_model_and_the_path_in_it(path: str, expected: tuple[str, str]) -> None:
    assert locate(path) == expected


def test_a_path_of_t5_stays() -> None:
    assert text_path("encoder.block.0.layer.0.SelfAttention.q") == "encoder.block.0.layer.0.SelfAttention.q"


def test_paths_of_denoiser_and_text_encoders() -> None:
    assert layer_path("", "conv_in") == "conv_in"
    assert layer_path("text_encoder", CLIP) == f"text_encoder.{CLIP}"
