"""The real base models' layers, from diffusers' own classes on the meta device: no weights, no memory."""

from __future__ import annotations

import re
from functools import cache

import diffusers
import torch
from diffusers import (
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

SDXL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
KOALA = SDXL | {"layers_per_block": 1, "transformer_layers_per_block": [1, 2, 5], "mid_block_type": None}


def _unet(**config: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(**config)


BUILDERS = {
    "sd15": lambda: _unet(cross_attention_dim=768),
    "sd2": lambda: _unet(
        cross_attention_dim=1024, use_linear_projection=True, attention_head_dim=[5, 10, 20, 20], sample_size=96
    ),
    "sdxl": lambda: _unet(**SDXL),
    "koala": lambda: _unet(**KOALA),
    "flux": lambda: FluxTransformer2DModel(guidance_embeds=True),
    "sd3": lambda: SD3Transformer2DModel(num_layers=24, num_attention_heads=24, caption_projection_dim=1536),
    "sd35-medium": lambda: SD3Transformer2DModel(
        num_layers=24,
        num_attention_heads=24,
        caption_projection_dim=1536,
        qk_norm="rms_norm",
        dual_attention_layers=tuple(range(13)),
    ),
    "sd35-large": lambda: SD3Transformer2DModel(
        num_layers=38, num_attention_heads=38, caption_projection_dim=2432, qk_norm="rms_norm"
    ),
    "qwen-image": lambda: QwenImageTransformer2DModel(),
    "z-image": lambda: ZImageTransformer2DModel(),
}
HIDREAM = {
    "patch_size": 2,
    "in_channels": 16,
    "caption_channels": [4096, 4096],
    "llama_layers": [*range(32), *[31] * 16],
}
WAN_I2V = {"image_dim": 1280, "added_kv_proj_dim": 5120}
# Models whose files keep the names of their trainers.
NEWER_BUILDERS = {
    "flux2-dev": lambda: diffusers.Flux2Transformer2DModel(),
    "flux2-klein-9b": lambda: _klein(num_layers=8, num_single_layers=24, num_attention_heads=32),
    "flux2-klein-4b": lambda: _klein(num_layers=5, num_single_layers=20, num_attention_heads=24),
    "hidream": lambda: diffusers.HiDreamImageTransformer2DModel(**HIDREAM),
    "lumina2": lambda: diffusers.Lumina2Transformer2DModel(cap_feat_dim=2304),
    "krea2": lambda: diffusers.Krea2Transformer2DModel(),
    "anima": lambda: diffusers.CosmosTransformer3DModel(num_attention_heads=16, extra_pos_embed_type=None),
    "qwen-image-2.1": lambda: diffusers.QwenImage21Transformer2DModel(),
    "ideogram4": lambda: diffusers.Ideogram4Transformer2DModel(),
    "wan-14b": lambda: diffusers.WanTransformer3DModel(**WAN_I2V),
    "wan-5b": lambda: diffusers.WanTransformer3DModel(num_attention_heads=24, ffn_dim=14336, num_layers=30),
    "wan-1.3b": lambda: diffusers.WanTransformer3DModel(num_attention_heads=12, ffn_dim=8960, num_layers=30),
    "hunyuan-video": lambda: diffusers.HunyuanVideoTransformer3DModel(),
    "ltx-video": lambda: diffusers.LTXVideoTransformer3DModel(),
    "ltx-video-13b": lambda: diffusers.LTXVideoTransformer3DModel(
        num_layers=48, attention_head_dim=128, cross_attention_dim=4096
    ),
    "ltx2": lambda: diffusers.LTX2VideoTransformer3DModel(gated_attn=True, cross_attn_mod=True),
    "kandinsky5-lite": lambda: diffusers.Kandinsky5Transformer3DModel(model_dim=1792, ff_dim=7168),
    "kandinsky5-image": lambda: diffusers.Kandinsky5Transformer3DModel(
        model_dim=2560, ff_dim=10240, num_visual_blocks=50
    ),
    "kandinsky5-pro": lambda: diffusers.Kandinsky5Transformer3DModel(
        model_dim=4096, ff_dim=16384, num_visual_blocks=60, num_text_blocks=4
    ),
}


def _klein(**config: int) -> object:
    return diffusers.Flux2Transformer2DModel(guidance_embeds=False, **config)


@cache
def modules(family: str) -> dict[str, nn.Module]:
    """Path -> module, of every module of the denoiser that has a weight of its own."""
    with torch.device("meta"):
        model = (BUILDERS | NEWER_BUILDERS)[family]()
    return {path: module for path, module in model.named_modules() if path and hasattr(module, "weight")}


@cache
def shapes(family: str) -> dict[str, tuple[int, ...]]:
    """Path -> the weight's shape, kernels flattened."""
    found = {path: tuple(module.weight.shape) for path, module in modules(family).items() if module.weight is not None}
    return {path: (s[0], torch.Size(s[1:]).numel()) if len(s) > 1 else s for path, s in found.items()}


def matrices(family: str) -> dict[str, tuple[int, int]]:
    """Path -> (out, in) of the linear and convolution layers."""
    return {path: (s[0], s[1]) for path, s in shapes(family).items() if len(s) == 2}


def first_blocks(family: str) -> dict[str, tuple[int, int]]:
    """Path -> (out, in) of the layers in the first block of each kind, and of those outside the blocks."""
    first: dict[str, str] = {}
    for path in matrices(family):
        first.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "#", path, count=1), path)
    return {path: matrices(family)[path] for path in first.values()}


def kernel(family: str, path: str) -> tuple[int, ...]:
    """(height, width) of a convolution's kernel, else ()."""
    return tuple(modules(family)[path].weight.shape[2:])


@cache
def text_modules() -> dict[str, tuple[int, int]]:
    """Path -> (out, in) of a CLIP text encoder with projection, with one layer, SDXL's second one's width."""
    config = CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=1, projection_dim=1280)
    with torch.device("meta"):
        model = CLIPTextModelWithProjection(config)
    return {
        path: (module.out_features, module.in_features)
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
