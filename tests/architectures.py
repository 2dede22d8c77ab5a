"""The real base models' layers, from diffusers' own classes on the meta device: no weights, no memory."""

from __future__ import annotations

from functools import cache

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


@cache
def modules(family: str) -> dict[str, nn.Module]:
    """Path -> module, of every module of the denoiser that has a weight of its own."""
    with torch.device("meta"):
        model = BUILDERS[family]()
    return {path: module for path, module in model.named_modules() if path and hasattr(module, "weight")}


@cache
def shapes(family: str) -> dict[str, tuple[int, ...]]:
    """Path -> the weight's shape, kernels flattened."""
    found = {path: tuple(module.weight.shape) for path, module in modules(family).items() if module.weight is not None}
    return {path: (s[0], torch.Size(s[1:]).numel()) if len(s) > 1 else s for path, s in found.items()}


def matrices(family: str) -> dict[str, tuple[int, int]]:
    """Path -> (out, in) of the linear and convolution layers."""
    return {path: (s[0], s[1]) for path, s in shapes(family).items() if len(s) == 2}


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
