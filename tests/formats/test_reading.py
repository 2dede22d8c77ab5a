"""lorarar.formats.reading: content of files in several dialects, and rejected files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file

from lorarar.formats.identification import identify
from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.storage.atomic import FormatError
from lorarar.storage.hashing import sha256
from tests.formats.reference import by_us, effect, factors

KOHYA = (".lora_down.weight", ".lora_up.weight")
PEFT = (".lora_A.weight", ".lora_B.weight")
SGM = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def test_content_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = factors(SGM, 640, 640, KOHYA, rank=4, alpha=2.0)
    tensors |= factors("lora_unet_middle_block_1_transformer_blocks_9_attn2_to_k", 1280, 2048, KOHYA, rank=3)
    tensors |= {"lora_unet_input_blocks_4_0_in_layers_2.diff": torch.ones(640, 320, 3, 3)}
    save_file(tensors, path, metadata={"ss_tag_frequency": "{}"})
    stored = read_stored(path)
    middle, conv = "mid_block.attentions.0.transformer_blocks.9.attn2.to_k", "down_blocks.1.resnets.0.conv1"
    assert (stored.dialect, stored.family, stored.path) == ("kohya", "sdxl", path)
    assert stored.algorithms == {Q: "lora", middle: "lora", conv: "full"}
    assert stored.shapes == {Q: (640, 640), middle: (1280, 2048), conv: (640, 2880)}
    assert stored.ranks == {Q: 4, middle: 3, conv: None}
    assert stored.alphas == {Q: 2.0, middle: None, conv: None}
    assert stored.header == {"ss_tag_frequency": "{}"}
    assert stored.sha256 == sha256(path)
    assert stored.warnings == ()


def test_sdxl_in_comfyui_names(tmp_path: Path) -> None:
    stem = "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q"
    text = "text_encoders.clip_g.transformer.text_model.encoder.layers.0.self_attn.q_proj"
    unet = factors(stem, 640, 640, PEFT, alpha=1.0)
    save_file(unet | factors(text, 1280, 1280, PEFT), tmp_path / "x")
    assert read_stored(tmp_path / "x").dialect == "ComfyUI"
    effects = by_us(tmp_path / "x")
    assert set(effects) == {Q, "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj"}
    assert torch.equal(effects[Q], effect(unet[f"{stem}.lora_B.weight"], unet[f"{stem}.lora_A.weight"], 0.5))


@pytest.mark.parametrize("prefix", ["unet.", "unet.unet.", "", "base_model.model.", "base_model.model.unet."])
@pytest.mark.parametrize("ends", [PEFT, (".lora_A.default.weight", ".lora_B.default.weight"), KOHYA,
                                  (".lora.down.weight", ".lora.up.weight")])  # fmt: skip
def test_prefixes_and_endings(prefix: str, ends: tuple[str, str], tmp_path: Path) -> None:
    tensors = factors(f"{prefix}{Q}", 640, 640, ends)
    save_file(tensors, tmp_path / "x")
    assert torch.equal(by_us(tmp_path / "x")[Q], effect(tensors[f"{prefix}{Q}{ends[1]}"],
                                                        tensors[f"{prefix}{Q}{ends[0]}"], 1.0))  # fmt: skip


def test_old_diffusers_keys_are_read_as_diffusers_does(tmp_path: Path) -> None:
    stem = f"unet.{Q.removesuffix('.to_q')}.processor.to_q_lora"
    tensors = factors(stem, 640, 640, (".down.weight", ".up.weight"))
    save_file(tensors, tmp_path / "x")
    state, _ = StableDiffusionXLPipeline.lora_state_dict(dict(tensors))
    # diffusers renames keys only when it loads the UNet, so the state has the keys of the file.
    assert state.keys() == tensors.keys()
    assert torch.equal(by_us(tmp_path / "x")[Q], effect(*reversed(list(tensors.values())), 1.0))


@pytest.mark.parametrize(
    ("stem", "ends"),
    [
        ("diffusion_model.double_blocks.0.img_attn.qkv", PEFT),
        ("double_blocks.18.processor.qkv_lora1", (".down.weight", ".up.weight")),
    ],
)
def test_the_authors_names_distinguish_flux_from_models_of_equal_layers(
    stem: str, ends: tuple[str, str], tmp_path: Path
) -> None:
    """Qwen-Image has attention layers with the same names and widths in diffusers."""
    save_file(factors(stem, 3 * 3072, 3072, ends, rank=1), tmp_path / "x")
    assert read_stored(tmp_path / "x").family == "flux"
    save_file(factors("transformer.transformer_blocks.0.attn.to_q", 3072, 3072, PEFT, rank=1), tmp_path / "x")
    assert read_stored(tmp_path / "x").family == ""


def test_layers_outside_a_unet(tmp_path: Path) -> None:
    save_file(factors("lora_unet_input_blocks_4_5_proj_in", 8, 8, KOHYA), tmp_path / "x")
    with pytest.raises(FormatError, match=r"x: 2 of 2 keys name layers outside the model, first \['lora_unet_input"):
        read_stored(tmp_path / "x")


@pytest.mark.parametrize("shape", [(), (4,), (0, 640)])
def test_empty_parts_and_vectors_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    save_file(factors(SGM, 640, 640, KOHYA) | {f"{SGM}.lora_down.weight": torch.ones(shape)}, tmp_path / "x")
    with pytest.raises(FormatError, match=r"lora_down.weight'\], which are empty or vectors"):
        read_stored(tmp_path / "x")


def test_a_folder_must_contain_one_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="the folder .* with no safetensors file"):
        load(tmp_path)


def test_swapped_factors_are_refused(tmp_path: Path) -> None:
    """Both transposed: every layer then looks like a small square of a large rank."""
    tensors = {}
    for name, width in (("attn1_to_q", 640), ("attn2_to_k", 2048)):
        stem = f"lora_unet_input_blocks_4_1_transformer_blocks_0_{name}"
        tensors |= {f"{stem}.lora_down.weight": torch.ones(width, 4), f"{stem}.lora_up.weight": torch.ones(4, width)}
    save_file(tensors, tmp_path / "x")
    with pytest.raises(FormatError, match=r"found \(640, 4\) and \(4, 640\), which are swapped or transposed"):
        read_stored(tmp_path / "x")


def test_an_alpha_that_is_no_number_is_refused(tmp_path: Path) -> None:
    stem = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    tensors = {f"{stem}.lora_down.weight": torch.ones(2, 640), f"{stem}.lora_up.weight": torch.ones(640, 2)}
    for alpha in (torch.tensor(True), torch.tensor([1.0, 2.0])):
        save_file(tensors | {f"{stem}.alpha": alpha}, tmp_path / "x")
        with pytest.raises(FormatError, match="alpha must be one finite number"):
            load(tmp_path / "x")


def flux_named(blocks: int, rows: int = 9216, module: str = "img_attn_qkv") -> dict[str, torch.Tensor]:
    stems = [f"lora_unet_double_blocks_{i}_{module}" for i in range(blocks)]
    down = {f"{stem}.lora_down.weight": torch.ones(1, 3072) for stem in stems}
    return down | {f"{stem}.lora_up.weight": torch.ones(rows, 1) for stem in stems}


@pytest.mark.parametrize(
    ("tensors", "header", "family"),
    [
        (flux_named(20), {}, "hunyuan-video"),
        (flux_named(3), {"ss_base_model_version": "hunyuan_video"}, "hunyuan-video"),
        (flux_named(5), {}, "flux2-klein-4b"),
        (flux_named(3), {"modelspec.architecture": "Flux.2-klein-4b/lora"}, "flux2-klein-4b"),
        (flux_named(3, 18432, "img_mlp_0"), {}, "flux2-klein-4b"),
        (flux_named(3), {}, "flux"),
        (flux_named(3, 9216, "img_mlp_0"), {}, ""),
    ],
)
def test_names_and_header_outrank_shapes(
    tensors: dict[str, torch.Tensor], header: dict[str, str], family: str, tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "x", metadata=header or None)
    assert read_stored(tmp_path / "x").family == family


def test_a_header_that_contradicts_the_names_is_refused(tmp_path: Path) -> None:
    save_file(flux_named(3), tmp_path / "x", metadata={"ss_base_model_version": "sdxl_base_v1-0"})
    with pytest.raises(FormatError, match="x: expected layers of .*Stable Diffusion XL, which the header names"):
        read_stored(tmp_path / "x")


def test_chroma_is_known_by_its_header_or_by_what_it_lacks(tmp_path: Path) -> None:
    save_file(flux_named(3), tmp_path / "x", metadata={"ss_base_model_version": "chroma"})
    assert read_stored(tmp_path / "x").family == "chroma"
    save_file(flux_named(3), tmp_path / "x", metadata={"ss_base_model_version": "flux1"})
    assert read_stored(tmp_path / "x").family == "flux"
    whole = {f"transformer_blocks.{i}.ff.net.2": (3072, 12288) for i in range(19)}
    whole |= {f"single_transformer_blocks.{i}.proj_mlp": (12288, 3072) for i in range(38)}
    identity = identify({"flux": whole}, {})
    assert identity == ("flux", "", ["no modulation layers in a file with all other layers: FLUX.1 or Chroma"])
    modulated = whole | {"transformer_blocks.0.norm1.linear": (18432, 3072)}
    assert identify({"flux": modulated}, {}) == ("flux", "flux", [])
