"""FLUX, SD3, Qwen-Image and Z-Image files in every dialect, read by diffusers and by this package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel, QwenImagePipeline, StableDiffusion3Pipeline, ZImagePipeline
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from lorarar.diffusion.adaptation import adapted
from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import save
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from tests.formats.reference import by_diffusers, by_us, check_same, effect, factors
from tests.tiny import lora_for

KOHYA = (".lora_down.weight", ".lora_up.weight")
PEFT = (".lora_A.weight", ".lora_B.weight")
XLABS = (".down.weight", ".up.weight")
W = 3072  # the conversion of diffusers requires this width

FLUX_DOUBLE = {
    "img_attn.qkv": (3 * W, W),
    "img_attn.proj": (W, W),
    "txt_attn.qkv": (3 * W, W),
    "txt_attn.proj": (W, W),
    "img_mlp.0": (4 * W, W),
    "img_mlp.2": (W, 4 * W),
    "txt_mlp.0": (4 * W, W),
    "txt_mlp.2": (W, 4 * W),
    "img_mod.lin": (6 * W, W),
    "txt_mod.lin": (6 * W, W),
}
FLUX_SINGLE = {"linear1": (7 * W, W), "linear2": (W, 5 * W), "modulation.lin": (3 * W, W)}
FLUX = {
    **{f"double_blocks.{i}.{name}": shape for i in (0, 18) for name, shape in FLUX_DOUBLE.items()},
    **{f"single_blocks.{i}.{name}": shape for i in (0, 37) for name, shape in FLUX_SINGLE.items()},
}
FLUX_OUTSIDE = {
    "img_in": (W, 64),
    "txt_in": (W, 4096),
    "time_in.in_layer": (W, 256),
    "time_in.out_layer": (W, W),
    "vector_in.in_layer": (W, 768),
    "vector_in.out_layer": (W, W),
    "guidance_in.in_layer": (W, 256),
    "guidance_in.out_layer": (W, W),
    "final_layer.linear": (64, W),
    "final_layer.adaLN_modulation.1": (2 * W, W),
}
FLUX_ATTENTION = {
    f"{stack}.{i}.attn.{name}": (W, W)
    for stack, i, names in (
        ("transformer_blocks", 3, ("to_q", "to_out.0", "add_k_proj", "to_add_out")),
        ("single_transformer_blocks", 30, ("to_q", "to_v")),
    )
    for name in names
}
XLABS_KEYS = {
    **{f"double_blocks.{i}.processor.qkv_lora{s}": (3 * W, W) for i in (0, 18) for s in (1, 2)},
    **{f"double_blocks.{i}.processor.proj_lora{s}": (W, W) for i in (0, 18) for s in (1, 2)},
    **{f"single_blocks.{i}.processor.qkv_lora": (3 * W, W) for i in (0, 37)},
    **{f"single_blocks.{i}.processor.proj_lora": (W, 5 * W) for i in (0, 37)},
}
QWEN = {
    **{f"transformer_blocks.{i}.attn.{name}": (W, W) for i in (0, 59) for name in
       ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")},
    "transformer_blocks.3.img_mlp.net.0.proj": (4 * W, W),
    "transformer_blocks.3.txt_mlp.net.2": (W, 4 * W),
    "transformer_blocks.3.img_mod.1": (6 * W, W),
    "img_in": (W, 64),
    "time_text_embed.timestep_embedder.linear_1": (W, 256),
    "norm_out.linear": (2 * W, W),
}  # fmt: skip
Z = {
    **{f"layers.{i}.attention.{name}": (3840, 3840) for i in (0, 29) for name in ("to_q", "to_k", "to_v", "to_out.0")},
    "layers.3.feed_forward.w1": (10240, 3840),
    "layers.3.adaLN_modulation.0": (4 * 3840, 256),
    "noise_refiner.1.attention.to_q": (3840, 3840),
    "context_refiner.0.feed_forward.w2": (3840, 10240),
    "cap_embedder.1": (3840, 2560),
    "t_embedder.mlp.0": (1024, 256),
}  # fmt: skip
Z_FUSED = {"layers.0.attention.qkv": (3 * 3840, 3840), "layers.0.attention.out": (3840, 3840)}
SD3 = {f"transformer_blocks.{i}.attn.{name}": (1536, 1536) for i in (0, 23) for name in ("to_q", "add_k_proj")}


def joined(prefix: str, path: str) -> str:
    return prefix + path.replace(".", "_")


def dotted(prefix: str, path: str) -> str:
    return prefix + path


# name: (pipeline that reads it in diffusers, layers, function for a stem, prefix, endings, alpha, dialect, family)
CASES: dict[str, tuple[Any, ...]] = {
    "FLUX kohya": (FluxPipeline, FLUX, joined, "lora_unet_", KOHYA, 0.5, "kohya", "flux"),
    "FLUX kohya, all layers": (FluxPipeline, FLUX | FLUX_OUTSIDE, joined, "lora_unet_", KOHYA, None, "kohya", "flux"),
    "FLUX kohya in ComfyUI's form": (FluxPipeline, FLUX, dotted, "diffusion_model.", KOHYA, 4.0, "ComfyUI", "flux"),
    "FLUX OneTrainer": (FluxPipeline, FLUX_ATTENTION, joined, "lora_transformer_", KOHYA, 1.0, "OneTrainer", "flux"),
    "FLUX XLabs": (FluxPipeline, XLABS_KEYS, dotted, "", XLABS, None, "XLabs", "flux"),
    "FLUX XLabs in ComfyUI": (FluxPipeline, XLABS_KEYS, dotted, "diffusion_model.", XLABS, None, "XLabs", "flux"),
    "FLUX diffusers": (FluxPipeline, FLUX_ATTENTION, dotted, "transformer.", PEFT, None, "diffusers", "flux"),
    "SD3 diffusers": (StableDiffusion3Pipeline, SD3, dotted, "transformer.", PEFT, None, "diffusers", ""),
    "Qwen kohya": (QwenImagePipeline, QWEN, joined, "lora_unet_", KOHYA, 3.0, "kohya", "qwen-image"),
    "Qwen ComfyUI": (QwenImagePipeline, QWEN, dotted, "diffusion_model.", PEFT, 3.0, "ComfyUI", "qwen-image"),
    "Qwen diffusers": (QwenImagePipeline, QWEN, dotted, "transformer.", PEFT, None, "diffusers", "qwen-image"),
    "Z-Image kohya": (ZImagePipeline, Z, joined, "lora_unet_", KOHYA, 3.0, "kohya", "z-image"),
    "Z-Image ComfyUI": (ZImagePipeline, Z, dotted, "diffusion_model.", PEFT, None, "ComfyUI", "z-image"),
    "Z-Image diffusers": (ZImagePipeline, Z, dotted, "transformer.", PEFT, None, "diffusers", "z-image"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_deltas_equal_those_of_diffusers(case: str, tmp_path: Path) -> None:
    pipeline, layers, stem, prefix, ends, alpha, dialect, family = CASES[case]
    tensors: dict[str, Tensor] = {}
    for seed, (path, (out, width)) in enumerate(layers.items()):
        tensors |= factors(stem(prefix, path), out, width, ends, seed=seed, rank=1, alpha=alpha)
    file = tmp_path / "x.safetensors"
    save_file(tensors, file)
    stored = read_stored(file)
    assert (stored.dialect, stored.family, stored.warnings) == (dialect, family, ())
    check_same(by_us(file), by_diffusers(file, pipeline))


def test_ai_toolkit_flux_which_diffusers_ignores(tmp_path: Path) -> None:
    """The reference for `diffusion_model.` with lora_A is the same file with kohya keys."""
    ours, theirs = {}, {}
    for seed, (path, (out, width)) in enumerate(FLUX.items()):
        ours |= factors(f"diffusion_model.{path}", out, width, PEFT, seed=seed, rank=1)
        theirs |= factors(joined("lora_unet_", path), out, width, KOHYA, seed=seed, rank=1)
    save_file(ours, tmp_path / "ours")
    save_file(theirs, tmp_path / "theirs")
    check_same(by_us(tmp_path / "ours"), by_diffusers(tmp_path / "theirs", FluxPipeline))


@pytest.mark.parametrize(("prefix", "make"), [("lora_unet_", joined), ("diffusion_model.", dotted)])
def test_fused_z_image(prefix: str, make: Callable[[str, str], str], tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = {}
    for path, (out, width) in Z_FUSED.items():
        tensors |= factors(make(prefix, path), out, width, KOHYA, alpha=1.0)
    save_file(tensors, tmp_path / "x")
    stem = make(prefix, "layers.0.attention.qkv")
    fused = effect(tensors[f"{stem}.lora_up.weight"], tensors[f"{stem}.lora_down.weight"], 0.5)
    effects = by_us(tmp_path / "x")
    assert set(effects) == {f"layers.0.attention.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")}
    assert_close(torch.cat([effects[f"layers.0.attention.{name}"] for name in ("to_q", "to_k", "to_v")]), fused)


def test_sd3_kohya_which_diffusers_ignores(tmp_path: Path) -> None:
    qkv = factors("lora_unet_joint_blocks_3_x_block_attn_qkv", 3 * 1536, 1536, KOHYA, alpha=1.0)
    dual = factors("lora_unet_joint_blocks_3_x_block_attn2_qkv", 3 * 1536, 1536, KOHYA, seed=1)
    proj = factors("lora_unet_joint_blocks_3_context_block_attn_proj", 1536, 1536, KOHYA, seed=2)
    t5 = factors("lora_te3_encoder_block_0_layer_0_SelfAttention_q", 4096, 4096, KOHYA, seed=3)
    save_file(qkv | dual | proj | t5, tmp_path / "x")
    lora = load(tmp_path / "x")
    assert lora.family == "sd35-medium"
    effects = by_us(tmp_path / "x")
    down, up, _ = qkv.values()
    fused = torch.cat([effects[f"transformer_blocks.3.attn.{name}"] for name in ("to_q", "to_k", "to_v")])
    assert_close(fused, effect(up, down, 0.5))
    assert set(lora.layers) >= {
        "transformer_blocks.3.attn2.to_v",
        "transformer_blocks.3.attn.to_add_out",
        "text_encoder_3.encoder.block.0.layer.0.SelfAttention.q",
    }


def test_text_encoders_of_flux(tmp_path: Path) -> None:
    unet = factors("lora_unet_double_blocks_0_img_attn_proj", W, W, KOHYA, rank=1)
    clip = factors("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", 768, 768, KOHYA)
    t5 = factors("lora_te3_encoder_block_0_layer_0_SelfAttention_q", 4096, 4096, KOHYA)
    save_file(unet | clip | t5, tmp_path / "x")
    lora = load(tmp_path / "x")
    assert lora.family == "flux"
    assert set(lora.layers) == {
        "transformer_blocks.0.attn.to_out.0",
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
        "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q",
    }


def tiny_flux() -> FluxTransformer2DModel:
    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 2, 2),
    ).eval()  # fmt: skip


@torch.no_grad()
def test_diffusers_loads_the_written_flux_file(tmp_path: Path) -> None:
    parts = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"))
    pipe = FluxPipeline(transformer=tiny_flux(), **parts)
    generator = torch.Generator().manual_seed(0)
    x = {
        "hidden_states": torch.randn(1, 4, 4, generator=generator),
        "encoder_hidden_states": torch.randn(1, 3, 16, generator=generator),
        "pooled_projections": torch.randn(1, 16, generator=generator),
        "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(4, 3),
        "txt_ids": torch.zeros(3, 3),
    }
    lora = lora_for(pipe.transformer, (2, 3), (0.5, 1 / 3, 1.0))
    save(lora, tmp_path / "x.safetensors", dtype=torch.float32)
    plain = pipe.transformer(**x).sample
    with adapted(pipe.transformer, lora):
        expected = pipe.transformer(**x).sample
    pipe.load_lora_weights(str(tmp_path), weight_name="x.safetensors")
    assert (expected - plain).abs().max() > 0.01
    assert_close(pipe.transformer(**x).sample, expected, rtol=1e-4, atol=1e-5)


def test_scales_of_transformers_are_inside_the_factors(tmp_path: Path) -> None:
    """ComfyUI does not read the header and reads alpha; diffusers rejects both together. The file has neither."""
    path = "transformer_blocks.0.attn.to_q"
    up, down = torch.randint(1, 9, (W, 2)).half(), torch.randint(-8, 9, (2, W)).half()
    save(LoRA({path: LowRank(up, down, 0.25)}, family="flux"), tmp_path / "x")
    tensors = load_file(tmp_path / "x")
    assert set(tensors) == {f"transformer.{path}.lora_A.weight", f"transformer.{path}.lora_B.weight"}
    assert "lora_adapter_metadata" not in read_stored(tmp_path / "x").header
    assert torch.equal(by_us(tmp_path / "x")[path], effect(up, down, 0.25))  # a power of two is exact
    save(LoRA({path: LowRank(up, down, 0.3)}, family="flux"), tmp_path / "y")
    check_same(by_us(tmp_path / "y"), {path: effect(up, down, 0.3)}, tolerance=1e-3)


def test_layers_of_mixed_ranks_have_the_scale_one_in_every_diffusers(tmp_path: Path) -> None:
    """Without a header, diffusers before 0.42 scales each layer by the first layer's rank over its own."""
    lora = LoRA(
        {
            "transformer_blocks.0.attn.to_q": LowRank(torch.randn(W, 4), torch.randn(4, W), 0.5),
            "transformer_blocks.0.norm1.linear": LowRank(torch.randn(6 * W, 2), torch.randn(2, W), 3.0),
        },
        family="flux",
    )
    save(lora, tmp_path / "x.safetensors", dtype=torch.float32)
    config = json.loads(read_stored(tmp_path / "x.safetensors").header["lora_adapter_metadata"])
    assert (config["transformer.rank_pattern"], config["transformer.alpha_pattern"]) == (
        {"^transformer_blocks.0.norm1.linear": 2},
        {"^transformer_blocks.0.norm1.linear": 2.0},
    )
    assert (config["transformer.r"], config["transformer.lora_alpha"]) == (4, 4.0)
    expected = {path: effect(f.B, f.A, f.scale) for path, f in lora.layers.items() if isinstance(f, LowRank)}
    check_same(by_us(tmp_path / "x.safetensors"), expected)
    check_same(by_diffusers(tmp_path / "x.safetensors", FluxPipeline), expected)


def test_t5_of_a_diffusers_file_is_read_again(tmp_path: Path) -> None:
    t5 = "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q"
    layers = {"single_transformer_blocks.0.attn.to_q": (W, W), t5: (4096, 4096)}
    factored = {path: LowRank(torch.randn(out, 2), torch.randn(2, width)) for path, (out, width) in layers.items()}
    save(LoRA(factored, family="flux"), tmp_path / "x.safetensors", dtype=torch.float32)
    assert set(load(tmp_path / "x.safetensors").layers) == set(layers)
    save(
        LoRA({t5: factored[t5]}, family="flux"),
        tmp_path / "y.safetensors",
        metadata={"modelspec.architecture": "flux-1-dev/lora"},
    )
    assert set(load(tmp_path / "y.safetensors").layers) == {t5}
