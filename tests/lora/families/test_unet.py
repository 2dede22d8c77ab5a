"""lorarar.lora.families.unet: layers of a small UNet shape."""

from __future__ import annotations

import pytest

from lorarar.lora.families.unet import UNetShape, admits_text, shape_agrees

# Two down blocks; only the inner one has attention, with two transformer blocks each.
SHAPE = UNetShape((32, 64), (0, 2), 1, cross=16, layers_per_block=1, text=(24, 0))


def test_attentions_of_down_middle_and_up_blocks() -> None:
    assert dict(SHAPE.attentions()) == {
        "down_blocks.1.attentions.0": 2,
        "mid_block.attentions.0": 1,
        "up_blocks.0.attentions.0": 2,
        "up_blocks.0.attentions.1": 2,
    }
    assert len(SHAPE.transformer_blocks()) == 7


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k", (64, 16)),
        ("down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_k", (64, 64)),
        ("up_blocks.0.attentions.1.transformer_blocks.0.ff.net.0.proj", (512, 64)),
        ("up_blocks.0.upsamplers.0.conv", (64, 576)),
        ("down_blocks.0.downsamplers.0.conv", (32, 288)),
        ("mid_block.resnets.1.conv1", (64, 576)),
        ("down_blocks.0.resnets.0.conv1.bias", (32,)),
        ("conv_in", ()),
    ],
)
def test_layers_of_the_model(path: str, shape: tuple[int, ...]) -> None:
    assert SHAPE.admits(path, shape)


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k", (64, 64)),  # the text has width 16
        ("down_blocks.1.attentions.0.transformer_blocks.2.attn1.to_q", ()),  # two transformer blocks
        ("down_blocks.0.attentions.0.proj_in", ()),  # no attention in the outer block
        ("down_blocks.1.attentions.1.proj_in", ()),  # one layer per down block
        ("down_blocks.1.downsamplers.0.conv", ()),  # the last block does not downsample
        ("down_blocks.2.resnets.0.conv1", ()),  # two blocks
        ("add_embedding.linear_1", ()),  # only with `added`
        ("double_blocks.0.img_attn.qkv", ()),
    ],
)
def test_layers_of_other_models(path: str, shape: tuple[int, ...]) -> None:
    assert not SHAPE.admits(path, shape)


@pytest.mark.parametrize(
    ("path", "shape", "expected"),
    [
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", (24, 24), True),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", (32, 32), False),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1", (96, 24), True),
        ("text_encoder_2.encoder.block.0.layer.0.SelfAttention.q", (8, 8), True),  # T5
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", (), False),  # T5 has no CLIP layers
        ("text_encoder_3.encoder.block.0.layer.0.SelfAttention.q", (), False),
    ],
)
def test_text_encoders(path: str, shape: tuple[int, ...], expected: bool) -> None:
    assert admits_text((24, 0), path, shape) == expected


def test_zero_and_unknown_sizes_agree() -> None:
    assert shape_agrees((), (3, 4))
    assert shape_agrees((3, 5), (3, 0))
    assert not shape_agrees((3, 5), (3, 4))
