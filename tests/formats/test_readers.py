"""Every key that is written, for every family and format, is a key that the format's readers know.

The rules are facts about the key maps of ComfyUI and of sd-scripts: the authors' module names joined by underscores
after `lora_unet_`; diffusers' module paths after `transformer.` and `unet.`; one prefix for each text encoder.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from lorarar.formats.algorithms.roles import split_key
from lorarar.formats.dialects.table import DIALECTS
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from tests.architectures import BUILDERS, NEWER_BUILDERS, first_blocks, kernel, matrices, shapes

_SGM = (
    r"((input|output)_blocks_\d+_\d|middle_block_\d)_(in_layers_[02]|out_layers_[03]|emb_layers_1|skip_connection|op|conv"
    r"|norm|proj_(in|out)|transformer_blocks_\d+_(attn[12]_to_([qkv]|out_0)|ff_net_(0_proj|2)|norm[123]))"
    r"|input_blocks_0_0|out_[02]|(time_embed|label_emb_0)_[02]"
)
_UNET = (
    r"((down|up)_blocks_\d|mid_block)_(attentions|resnets|downsamplers|upsamplers)_\d_\w+|conv_(in|out)|(time|add)_\w+"
)
_FLUX = (
    r"double_blocks_\d+_(img|txt)_(attn_(qkv|proj|norm_(query|key)_norm)|mlp_[02]|mod_lin)"
    r"|single_blocks_\d+_(linear[12]|modulation_lin|norm_(query|key)_norm)"
    r"|(img|txt)_in|(time|vector|guidance)_in_(in|out)_layer|final_layer_(linear|adaLN_modulation_1)"
)
_SD3 = (
    r"joint_blocks_\d+_(x|context)_block_(attn2?_(qkv|proj|ln_[qk])|mlp_fc[12]|adaLN_modulation_1)"
    r"|x_embedder_proj|context_embedder|[ty]_embedder_mlp_[02]|final_layer_(linear|adaLN_modulation_1)"
)
_QWEN = (
    r"transformer_blocks_\d+_(attn_(to_[qkv]|to_out_0|add_[qkv]_proj|to_add_out)|(img|txt)_(mlp_net_(0_proj|2)|mod_1))"
    r"|(img|txt)_in|norm_out_linear|proj_out|time_text_embed_timestep_embedder_linear_[12]"
)
_Z = (
    r"(layers|noise_refiner|context_refiner)_\d+_(attention_(qkv|out)|feed_forward_w[123]|adaLN_modulation_0)"
    r"|x_embedder|final_layer_(linear|adaLN_modulation_1)|cap_embedder_1|t_embedder_mlp_[02]"
)
_FLUX2 = (
    r"double_blocks_\d+_(img|txt)_(attn_(qkv|proj)|mlp_[02])|single_blocks_\d+_linear[12]"
    r"|(img|txt)_in|(time|guidance)_in_(in|out)_layer|(double_stream_modulation_(img|txt)|single_stream_modulation)_lin"
    r"|final_layer_(linear|adaLN_modulation_1)"
)
_HUNYUAN = (  # musubi-tuner's
    r"double_blocks_\d+_(img|txt)_(attn_(qkv|proj)|mlp_fc[12]|mod_linear)"
    r"|single_blocks_\d+_(linear[12]|modulation_linear)|img_in_proj|(time|guidance)_in_mlp_[02]"
    r"|txt_in_individual_token_refiner_blocks_\d_(self_attn_(qkv|proj)|mlp_fc[12]|adaLN_modulation_1)"
    r"|txt_in_(input_embedder|t_embedder_mlp_[02]|c_embedder_linear_[12])"
    r"|vector_in_(in|out)_layer|final_layer_(linear|adaLN_modulation_1)"
)
_HIDREAM = (
    r"(double|single)_stream_blocks_\d+_block_(attn1_to_([qkv]|out)(_t)?|ff_t_w[123]|adaLN_modulation_1"
    r"|ff_i_(shared_experts_w[123]|experts_[0-3]_w[123]|gate))|(t|p)_embedder_(timestep|pooled)_embedder_linear_[12]"
    r"|x_embedder_proj|caption_projection_\d+_linear|final_layer_(linear|adaLN_modulation_1)"
)
_LUMINA = (
    r"(layers|noise_refiner|context_refiner)_\d+_(attention_(qkv|out)|feed_forward_w[123]|adaLN_modulation_1)"
    r"|x_embedder|t_embedder_mlp_[02]|cap_embedder_1|final_layer_(linear|adaLN_modulation_1)"
)
_KREA = (
    r"(blocks|txtfusion_(layerwise|refiner)_blocks)_\d+_(attn_(w[qkvo]|gate)|mlp_(gate|up|down))"
    r"|first|last_linear|tmlp_[02]|tproj_1|txtmlp_[13]|txtfusion_projector"
)
_ANIMA = (
    r"blocks_\d+_((self|cross)_attn_([qkv]|output)_proj|mlp_layer[12]|adaln_modulation_(self_attn|cross_attn|mlp)_[12])"
    r"|x_embedder_proj_1|t_embedder_1_linear_[12]|final_layer_(linear|adaln_modulation_[12])"
)
_QWEN_2 = (
    r"transformer_blocks_\d+_(attn_(to_[qkv]|to_out_0)|img_mlp_(proj|out|gate_layer))|img_in|txt_in_(in|out)_layer"
    r"|modulation_1|norm_out_linear|proj_out|time_text_embed_timestep_embedder_linear_[12]"
)
_IDEOGRAM = (
    r"layers_\d+_(attention_(qkv|o)|feed_forward_w[123]|adaln_modulation)|(input|llm_cond|adaln)_proj"
    r"|t_embedding_mlp_(in|out)|final_layer_(linear|adaln_modulation)|embed_image_indicator"
)
_WAN = (
    r"blocks_\d+_(self_attn_[qkvo]|cross_attn_([qkvo]|[kv]_img)|ffn_[02])|patch_embedding|(time|text)_embedding_[02]"
    r"|time_projection_1|img_emb_proj_[13]|head_head"
)
_LTX = (
    r"transformer_blocks_\d+_((audio_)?attn[12]|audio_to_video_attn|video_to_audio_attn)"
    r"_to_([qkv]|out_0|gate_logits)|transformer_blocks_\d+_(audio_)?ff_net_(0_proj|2)"
    r"|(audio_)?(patchify_proj|proj_out|caption_projection_linear_[12])"
    r"|((audio_)?(prompt_)?|av_ca_(video_scale_shift|audio_scale_shift|a2v_gate|v2a_gate)_)adaln_single"
    r"_(linear|emb_timestep_embedder_linear_[12])"
)
_KANDINSKY = (
    r"(text|visual)_transformer_blocks_\d+_((self|cross)_attention_(to_(query|key|value)|out_layer)"
    r"|feed_forward_(in|out)_layer|(text|visual)_modulation_out_layer)|time_embeddings_(in|out)_layer"
    r"|((pooled_)?text|visual)_embeddings_in_layer|out_layer_(modulation_)?out_layer"
)
KOHYA = {
    "sd15": _UNET, "sd2": _UNET, "sdxl": _SGM, "koala": _UNET, "embedded": _UNET, "flux": _FLUX, "sd3": _SD3,
    "sd35-medium": _SD3, "sd35-large": _SD3, "qwen-image": _QWEN, "z-image": _Z,
    "flux2-dev": _FLUX2, "flux2-klein-9b": _FLUX2, "flux2-klein-4b": _FLUX2, "hidream": _HIDREAM, "lumina2": _LUMINA,
    "krea2": _KREA, "anima": _ANIMA, "qwen-image-2.1": _QWEN_2, "ideogram4": _IDEOGRAM, "wan-14b": _WAN, "wan-5b": _WAN,
    "wan-1.3b": _WAN, "hunyuan-video": _HUNYUAN, "ltx-video": _LTX, "ltx-video-13b": _LTX, "ltx2": _LTX,
    "kandinsky5-lite": _KANDINSKY, "kandinsky5-image": _KANDINSKY, "kandinsky5-pro": _KANDINSKY,
}  # fmt: skip
# ComfyUI's own names of HunyuanVideo are those of FLUX.1.
COMFYUI = {name: KOHYA[name] for name in NEWER_BUILDERS} | {
    "hunyuan-video": rf"{_FLUX}|img_in_proj"
    r"|txt_in_individual_token_refiner_blocks_\d_(self_attn_(qkv|proj)|mlp_[02]|adaLN_modulation_1)"
    r"|txt_in_(input_embedder|t_embedder_mlp_[02]|c_embedder_linear_[12])"
}
_CLIP = r"text_model_encoder_layers_\d+_(self_attn_(q|k|v|out)_proj|mlp_fc[12])"
_T5 = r"encoder_block_\d+_layer_\d_(SelfAttention_[qkvo]|DenseReluDense_w[io](_[01])?)"
CLIP_PATH, T5_PATH = "text_model.encoder.layers.0.self_attn.q_proj", "encoder.block.0.layer.0.SelfAttention.q"


def lora_with_all_layers(family: str) -> LoRA:
    """Return a LoRA without numbers for each matrix of a model and one layer of each text encoder.

    Of the newer models, whose blocks are alike, it has the first of each kind.
    """
    layers = {}
    for path, (out, width) in (first_blocks if family in NEWER_BUILDERS else matrices)(family).items():
        factors = torch.empty(out, 1, device="meta"), torch.empty(1, width, device="meta")
        layers[path] = LowRank(*factors, kernel=kernel(family, path))
    for number, width in enumerate(FAMILIES[family].shape.text, start=1):
        name = "text_encoder" if number == 1 else f"text_encoder_{number}"
        wide = width or 4096
        factors = torch.empty(wide, 1, device="meta"), torch.empty(1, wide, device="meta")
        layers[f"{name}.{CLIP_PATH if width else T5_PATH}"] = LowRank(*factors)
    return LoRA(layers, family=family)


def stems(lora: LoRA, format: str, family: str) -> set[str]:
    write = DIALECTS[format].write
    assert write is not None
    parts = [split_key(key) for key in write(lora, FAMILIES.get(family)).tensors]
    assert all(parts)
    return {part[0] for part in parts if part}


@pytest.mark.parametrize("family", [*BUILDERS, *NEWER_BUILDERS])
def test_kohya_names(family: str) -> None:
    text = FAMILIES[family].shape.text
    encoders = {"lora_te" if len(text) == 1 else f"lora_te{3 if not width else i + 1}": width for i, width in
                enumerate(text)}  # fmt: skip
    rules = [
        rf"lora_unet_({KOHYA[family]})",
        *(f"{name}_{_CLIP if width else _T5}" for name, width in encoders.items()),
    ]
    written = stems(lora_with_all_layers(family), "kohya", family)
    assert [stem for stem in sorted(written) if not any(re.fullmatch(rule, stem) for rule in rules)] == []
    assert all(any(re.fullmatch(rule, stem) for stem in written) for rule in rules)


@pytest.mark.parametrize("family", NEWER_BUILDERS)
def test_comfyui_names(family: str) -> None:
    lora = lora_with_all_layers(family)
    denoiser = {path: layer for path, layer in lora.layers.items() if not path.startswith("text_encoder")}
    written = stems(replace(lora, layers=denoiser), "comfyui", family)
    rule = rf"diffusion_model_({COMFYUI[family]})"
    assert [stem for stem in sorted(written) if not re.fullmatch(rule, stem.replace(".", "_"))] == []
    assert written


@pytest.mark.parametrize("family", [*BUILDERS])
def test_diffusers_names(family: str) -> None:
    denoiser, text = FAMILIES[family].denoiser, FAMILIES[family].shape.text
    known = {f"{denoiser}.{path}" for path, shape in shapes(family).items() if len(shape) == 2}
    for number, width in enumerate(text, start=1):
        name = "text_encoder" if number == 1 else f"text_encoder_{number}"
        # ComfyUI's names of CLIP models are diffusers'; T5, which diffusers cannot load, has its own.
        known.add(f"{name}.{CLIP_PATH}" if width else f"text_encoders.t5xxl.transformer.{T5_PATH}")
    assert stems(lora_with_all_layers(family), "diffusers", family) == known


def test_a_layer_set_of_several_families_has_the_names_that_they_share() -> None:
    """SD3 and SD3.5 medium cannot be told apart here, FLUX.1 and Qwen-Image neither, whose names differ."""

    def lora(width: int) -> LoRA:
        factors = torch.empty(width, 1, device="meta"), torch.empty(1, width, device="meta")
        return LoRA({"transformer_blocks.0.attn.to_q": LowRank(*factors)})

    assert stems(lora(1536), "kohya", "") == {"lora_unet_joint_blocks_0_x_block_attn_qkv"}
    for width, message in ((3072, "found FLUX.1 or Chroma or Qwen-Image"), (777, "found another")):
        with pytest.raises(ValueError, match=f"kohya's names depend on the model.*{message}.*format=.diffusers"):
            stems(lora(width), "kohya", "")
