"""Keys to roles, roles to algorithms."""

from __future__ import annotations

import pytest

from lorarar.formats.algorithms.roles import algorithm_of, split_key


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("lora_unet_x_to_q.lora_down.weight", ("lora_unet_x_to_q", "down")),
        ("lora_unet_x_conv.lora_mid.weight", ("lora_unet_x_conv", "mid")),
        ("lora_unet_x_to_q.alpha", ("lora_unet_x_to_q", "alpha")),
        ("unet.a.0.to_q.lora.up.weight", ("unet.a.0.to_q", "up")),
        ("text_encoder.a.q_proj.lora_linear_layer.down.weight", ("text_encoder.a.q_proj", "down")),
        ("base_model.model.a.to_out.0.lora_A.weight", ("base_model.model.a.to_out.0", "down")),
        ("a.to_q.lora_magnitude_vector", ("a.to_q", "magnitude")),
        ("a.to_q.lora_magnitude_vector.weight", ("a.to_q", "magnitude")),
        ("transformer.a.to_q.lora_B.bias", ("transformer.a.to_q", "up_bias")),
        ("lycoris_x.hada_w1_a", ("lycoris_x", "hada_w1_a")),
        ("lora_unet_x.a1.weight", ("lora_unet_x", "a1")),
        ("lora_unet_x.weight", ("lora_unet_x", "ia3")),
        ("lora_unet_x.on_input", ("lora_unet_x", "on_input")),
        ("lora_unet_x.oft_blocks", ("lora_unet_x", "oft_blocks")),
        ("model.diffusion_model.out.0.weight", None),  # the weight of a whole model, not of IA3
        ("a.b.bias", None),
        (".alpha", None),
        (".weight", None),
        ("alpha", None),
        ("", None),
        ("bundle_emb.x.string_to_param.*", None),
    ],
)
def test_split(key: str, expected: tuple[str, str] | None) -> None:
    assert split_key(key) == expected


_LOHA = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({"up", "down"}, "lora"),
        ({"up", "down", "alpha", "diff_b", "up_bias"}, "lora"),
        ({"up", "down", "mid", "alpha"}, "lora_tucker"),
        ({"up", "down", "alpha", "dora_scale"}, "dora"),
        ({"up", "down", "magnitude"}, "dora"),
        (_LOHA | {"alpha"}, "loha"),
        (_LOHA | {"hada_t1", "hada_t2", "scalar"}, "loha"),
        (_LOHA | {"dora_scale"}, "dora"),
        ({"lokr_w1", "lokr_w2", "alpha"}, "lokr"),
        ({"lokr_w1", "lokr_w2_a", "lokr_w2_b", "lokr_t2"}, "lokr"),
        ({"lokr_w1_a", "lokr_w1_b", "lokr_w2", "dora_scale"}, "dora"),
        ({"diff"}, "full"),
        ({"diff_b"}, "full"),
        ({"w_norm", "b_norm"}, "norm"),
        ({"ia3", "on_input"}, "ia3"),
        ({"oft_blocks", "alpha", "rescale"}, "oft"),
        ({"a1", "a2", "b1", "b2", "alpha"}, "glora"),
    ],
)
def test_algorithm(roles: set[str], expected: str) -> None:
    assert algorithm_of(roles) == expected


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"up"}, "lora lacks down, found up"),
        ({"up", "down", "lokr_w1"}, "lora cannot have lokr_w1"),
        (_LOHA - {"hada_w2_b"}, "loha lacks hada_w2_b"),
        (_LOHA | {"hada_t1"}, "loha cannot have hada_t1|loha lacks hada_t2"),
        ({"lokr_w1_a", "lokr_w2"}, "lokr lacks lokr_w1"),
        ({"ia3"}, "ia3 lacks on_input"),
        ({"alpha"}, "lacks"),
        ({"diff", "dora_scale"}, "full cannot have dora_scale"),
        ({"up", "down", "dora_scale", "magnitude"}, "lora cannot have dora_scale, magnitude"),
        ({"lambda_layer", "q_layer.weight", "p_layer.weight", "alpha"}, "T-LoRA, whose rank depends on the timestep"),
        ({"oft_diag", "alpha"}, "early form of OFT"),
        ({"up", "down", "reshape_weight"}, "changes its shape"),
    ],
)
def test_incomplete_and_mixed(roles: set[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        algorithm_of(roles)
