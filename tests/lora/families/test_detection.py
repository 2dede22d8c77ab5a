"""lorarar.lora.families.detection against the layers of the real models."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from lorarar.lora.families.detection import check_same_family, detect_family, find_families
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.lora.rows import whole_layer
from lorarar.worlds.stages.autoencoder import build_autoencoder
from lorarar.worlds.stages.pipelines import build_pipeline, new_parts
from lorarar.worlds.stages.recipes import Shape
from lorarar.worlds.toy.definition import TOY
from tests.architectures import BUILDERS, NEWER_BUILDERS, shapes

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def attention(family: str) -> dict[str, tuple[int, ...]]:
    return {path: shape for path, shape in shapes(family).items() if path.endswith(ATTENTION)}


@pytest.mark.parametrize("family", [*BUILDERS, *NEWER_BUILDERS])
def test_a_family_has_all_layers_of_its_model(family: str) -> None:
    refused = [path for path, shape in shapes(family).items() if not FAMILIES[family].shape.admits(path, shape)]
    assert refused == []
    # SD3.5 medium contains all layers of SD3, and LTX-2 all of the large LTX-Video.
    assert detect_family(shapes(family)) == ("" if family in ("sd3", "ltx-video-13b") else family)
    assert all(FAMILIES[family].shape.admits(f"{path}.bias", shape[:1]) for path, shape in shapes(family).items())


@pytest.mark.parametrize("family", [*BUILDERS])
def test_attention_layers_determine_the_family(family: str) -> None:
    # SD3.5 medium contains all layers of SD3 and more.
    several = {"sd3": ["sd3", "sd35-medium"], "koala": ["sdxl", "koala"]}
    several["flux"] = ["flux", "chroma", "hunyuan-video"]
    expected = several.get(family, [family])
    assert [candidate.key for candidate in find_families(attention(family))] == expected
    assert detect_family(attention(family)) == ("" if family == "sd3" else family)


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "z-image"])
def test_no_layer_of_another_width_fits(family: str) -> None:
    chosen = random.Random(0).sample(sorted(attention(family)), 20)
    for path in chosen:
        out, width = attention(family)[path]
        assert FAMILIES[family].shape.admits(path, ())
        assert not FAMILIES[family].shape.admits(path, (out, width + 1))
        assert not FAMILIES[family].shape.admits(path, (2 * out, width))


def test_missing_layers_of_a_model() -> None:
    unet = FAMILIES["sdxl"].shape
    for path in (
        "down_blocks.0.attentions.0.proj_in",
        "down_blocks.3.resnets.0.conv1",
        "down_blocks.1.attentions.2.proj_in",
        "down_blocks.1.attentions.0.transformer_blocks.2.attn1.to_q",
        "down_blocks.2.downsamplers.0.conv",
        "down_blocks.0.upsamplers.0.conv",
        "up_blocks.2.upsamplers.0.conv",
        "up_blocks.0.resnets.3.conv1",
        "up_blocks.0.resnets.0.conv3",
        "mid_block.attentions.1.proj_in",
        "mid_block.resnets.2.conv1",
        "mid_block.attentions.0.proj_up",
        "transformer_blocks.0.attn.to_q",
        "text_encoder_3.encoder.block.0.layer.0.SelfAttention.q",
    ):
        assert not unet.admits(path, ()), path
    flux = FAMILIES["flux"].shape
    for path in ("transformer_blocks.19.attn.to_q", "transformer_blocks.0.attn.to_x", "conv_in", "layers.0.x"):
        assert not flux.admits(path, ()), path


def test_the_embedded_base_is_detected() -> None:
    pipeline = build_pipeline(new_parts(build_autoencoder(), TOY, Shape()), Shape())
    layers = {
        path: (module.out_features, module.in_features)
        for path, module in pipeline.unet.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    assert detect_family(layers) == "embedded"
    q = "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj"
    assert detect_family(layers | {q: (64, 64)}) == "embedded"
    assert detect_family(layers | {q: (48, 48)}) == ""


def test_a_part_of_koala_counts_as_sdxl() -> None:
    part = {path: shape for path, shape in attention("koala").items() if "up_blocks.0" in path}
    assert detect_family(part) == "sdxl"


@pytest.mark.parametrize(
    ("header", "family"),
    [
        ({"ss_base_model_version": "sd_v1"}, "sd15"),
        ({"ss_base_model_version": "sd_v2_v"}, "sd2"),
        ({"modelspec.architecture": "stable-diffusion-v1/lora"}, "sd15"),
        ({"ss_base_model_version": "cosmos"}, ""),  # a model that the table lacks
        ({"ss_base_model_version": ""}, ""),
        ({}, ""),
    ],
)
def test_the_header_decides_only_among_families_that_fit(header: dict[str, str], family: str) -> None:
    # The widths of self attention are equal in SD 1 and 2.
    assert detect_family({"up_blocks.3.attentions.0.transformer_blocks.0.attn1.to_q": (320, 320)}, header) == family


def test_a_header_that_contradicts_the_layers_is_refused() -> None:
    layers = {"up_blocks.3.attentions.0.transformer_blocks.0.attn1.to_q": (320, 320)}
    for field, value in (
        ("ss_base_model_version", "sdxl_base_v1-0"),
        ("modelspec.architecture", "stable-diffusion-xl-v1-base/lora"),
    ):
        with pytest.raises(ValueError, match=f"layers of Stable Diffusion XL, which .*{field}.*found .*Diffusion 1 or"):
            detect_family(layers, {field: value})


def test_text_encoders_count_too() -> None:
    q = "text_model.encoder.layers.0.self_attn.q_proj"
    assert detect_family({f"text_encoder.{q}": (1024, 1024)}) == "sd2"
    assert [f.key for f in find_families({f"text_encoder_2.{q}": (1280, 1280)})] == [
        "sdxl",
        "sd3",
        "sd35-medium",
        "sd35-large",
    ]
    assert [f.key for f in find_families({"text_encoder_2.encoder.block.0.layer.0.SelfAttention.q": (4096, 4096)})] == [
        "flux"
    ]
    assert detect_family({}) == ""


def test_families_must_agree() -> None:
    def lora(family: str, name: str) -> LoRA:
        return LoRA({"x": LowRank(torch.ones(2, 1), torch.ones(1, 2))}, family=family, name=name)

    check_same_family([lora("sdxl", "a"), lora("", "b"), lora("sdxl", "c")])
    with pytest.raises(ValueError, match=r"a \(Stable Diffusion XL\), b \(FLUX.1\): merge LoRAs for one base"):
        check_same_family([lora("sdxl", "a"), lora("flux", "b")])


def part(*paths: str, width: int = 2, **header: str) -> LoRA:
    layers = {path: LowRank(torch.ones(width, 1), torch.ones(1, width)) for path in paths}
    return LoRA(layers, header, name=paths[0].partition(".")[0])


def test_loras_without_a_common_layer_are_refused_or_told() -> None:
    unknown, language = part("blocks.0.attn1.to_q"), part("model.layers.0.self_attn.q_proj")
    known = replace(part("mid_block.attentions.0.transformer_blocks.0.attn1.to_q", width=1280), family="sdxl")
    text = part("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", width=768)
    for pair in ((unknown, language), (known, language)):
        with pytest.raises(
            ValueError, match="found no layer in common in .* and model, .*base model that is not known"
        ):
            check_same_family(pair)
    for pair in ((unknown, text), (known, text), (known, replace(text, family="sdxl"))):
        (note,) = check_same_family(pair)
        assert "have no layer in common: each is carried as it is; check that both are for one base" in note
    bridge = part("blocks.0.attn1.to_q", "blocks.1.attn1.to_q")
    assert check_same_family([unknown, part("blocks.1.attn1.to_q"), bridge]) == []
    assert check_same_family([unknown]) == []


def test_models_that_only_the_header_knows_are_kept_apart() -> None:
    path = "transformer_blocks.0.attn.to_q"
    video = part(path, width=3072, ss_base_model_version="hunyuan_video_1_5")
    assert check_same_family([video, video]) == []
    with pytest.raises(ValueError, match=r"\(HunyuanVideo 1.5\), .*Qwen-Image\): merge LoRAs for one base model"):
        check_same_family([video, replace(part(path, width=3072), family="qwen-image")])


def test_a_model_whose_blocks_are_covered_is_likelier_than_a_larger_one() -> None:
    def attention(double: int, single: int = 0) -> dict[str, tuple[int, ...]]:
        paths = [f"transformer_blocks.{i}.attn.to_q" for i in range(double)]
        return dict.fromkeys(
            [*paths, *(f"single_transformer_blocks.{i}.attn.to_q" for i in range(single))], (3072, 3072)
        )

    assert detect_family(attention(20)) == detect_family(attention(20, 40)) == "hunyuan-video"
    assert detect_family(attention(19, 38)) == "flux"
    assert detect_family(attention(5)) == "flux2-klein-4b"
    assert detect_family(attention(60)) == "qwen-image"
    assert detect_family(attention(4)) == ""  # FLUX.1 or Qwen-Image


def test_unknown_models_with_names_are_noted() -> None:
    unknown = replace(part("blocks.0.foo"), names={"lora_unet_blocks_0_foo": whole_layer("blocks.0.foo")})
    (note,) = check_same_family([unknown, unknown])
    assert note.startswith("unknown model, names kept")
    stated = replace(unknown, metadata={"ss_base_model_version": "hunyuan_video_1_5"})
    (note,) = check_same_family([stated, stated])
    assert note.startswith("known model, names kept")
    with pytest.raises(ValueError, match="HunyuanVideo 1.5"):
        check_same_family([stated, replace(part("blocks.0.attn1.to_q"), family="wan-14b")])
