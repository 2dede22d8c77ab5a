"""Bases: denoisers of the supported families at their true size, without weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

_XL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}
SDXL_UNET = {**_XL, "layers_per_block": 2, "transformer_layers_per_block": (1, 2, 10)}
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_JOINT = (*_ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
_VAE_WIDTHS = (128, 256, 512, 512)
_VAE = 83_653_863  # parameters of the autoencoder that Stable Diffusion 1.5, XL and KOALA share
_VAE_16 = 83_819_683  # that of Stable Diffusion 3 and FLUX.1, with 16 channels
_CLIP_L, _CLIP_G, _T5 = 123_060_480, 694_659_840, 4_762_310_656


@dataclass(frozen=True)
class SizedBase:
    """A base model at its true size.

    Attributes:
        label: Its name for readers.
        model: Class of its denoiser in diffusers.
        config: Configuration of the denoiser.
        channels: Channels of the latents.
        side: Height and width of the latents of an image of its own resolution.
        tokens: Tokens of a prompt.
        inputs: Function (base, images, dtype) -> the arguments of a forward pass, on the meta device.
        encoders: Parameters of its text encoders.
        autoencoder: Parameters of its autoencoder.
        targets: Ends of the paths of the layers that a LoRA adapts.
        rank: Rank of the LoRAs of its shipped configurations.
        network: Kind of the network that its shipped configuration trains.
        steps: Steps of sampling an image.
        passes: Passes through the denoiser in a step of sampling, 2 with classifier-free guidance.
    """

    label: str
    model: str
    config: Mapping[str, Any]
    channels: int
    side: int
    tokens: int
    inputs: Callable[[SizedBase, int, torch.dtype], dict[str, Any]]
    encoders: int
    autoencoder: int
    targets: tuple[str, ...]
    rank: int = 64
    network: str = "paper"
    steps: int = 30
    passes: int = 2

    def new_denoiser(self, dtype: torch.dtype) -> nn.Module:
        """Return the frozen denoiser on the meta device, where it has shapes and no weights."""
        with torch.device("meta"):
            denoiser: nn.Module = getattr(diffusers, self.model)(**self.config)
        return denoiser.to(dtype).requires_grad_(False)

    def new_autoencoder(self, dtype: torch.dtype) -> diffusers.AutoencoderKL:
        """Return the autoencoder on the meta device; FLUX.2's counts as one that decodes its latents unpacked."""
        blocks = len(_VAE_WIDTHS)
        with torch.device("meta"):
            autoencoder = diffusers.AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * blocks,
                up_block_types=("UpDecoderBlock2D",) * blocks,
                block_out_channels=_VAE_WIDTHS,
                layers_per_block=2,
                latent_channels=self.channels,
            )
        return autoencoder.to(dtype).requires_grad_(False).eval()


def _unet(base: SizedBase, images: int, dtype: torch.dtype) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "sample": _empty(images, base.channels, base.side, base.side, dtype=dtype),
        "timestep": torch.empty(images, device="meta", dtype=torch.long),
        "encoder_hidden_states": _empty(images, base.tokens, base.config["cross_attention_dim"], dtype=dtype),
    }
    if base.config.get("addition_embed_type"):
        numbers = 6 * base.config["addition_time_embed_dim"]  # of the image's size and crop
        pooled = _empty(images, base.config["projection_class_embeddings_input_dim"] - numbers, dtype=dtype)
        arguments["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": _empty(images, 6, dtype=dtype)}
    return arguments


def _transformer(base: SizedBase, images: int, dtype: torch.dtype) -> dict[str, Any]:
    text = _empty(images, base.tokens, base.config["joint_attention_dim"], dtype=dtype)
    arguments: dict[str, Any] = {"encoder_hidden_states": text, "timestep": _empty(images, dtype=dtype)}
    if "pooled_projection_dim" in base.config:
        arguments["pooled_projections"] = _empty(images, base.config["pooled_projection_dim"], dtype=dtype)
    if "pos_embed_max_size" in base.config:  # Stable Diffusion 3 cuts its patches itself
        return arguments | {"hidden_states": _empty(images, base.channels, base.side, base.side, dtype=dtype)}
    axes, length = len(base.config.get("axes_dims_rope", (0, 0, 0))), (base.side // 2) ** 2
    arguments["guidance"] = _empty(images, dtype=dtype) if base.config["guidance_embeds"] else None
    arguments["hidden_states"] = _empty(images, length, base.config["in_channels"], dtype=dtype)
    arguments["img_ids"], arguments["txt_ids"] = (_empty(n, axes, dtype=dtype) for n in (length, base.tokens))
    return arguments


def _empty(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, device="meta", dtype=dtype)


_SD15 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
_KOALA = {**_XL, "layers_per_block": 1, "transformer_layers_per_block": (0, 2, 5), "mid_block_type": None}
_SD3 = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 192,
}
_FLUX = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}
_KLEIN = {
    "in_channels": 128,
    "num_layers": 5,
    "num_single_layers": 20,
    "num_attention_heads": 24,
    "joint_attention_dim": 7680,
    "axes_dims_rope": (32, 32, 32, 32),
    "guidance_embeds": False,
}
_XL_ENCODERS = _CLIP_L + _CLIP_G
# The shipped configurations train these; FLUX.2 has no configuration and counts as FLUX.1 does.
SIZED_BASES: Mapping[str, SizedBase] = {
    "sd15": SizedBase(
        "Stable Diffusion 1.5", "UNet2DConditionModel", _SD15, 4, 64, 77, _unet, _CLIP_L, _VAE, _ATTENTION
    ),
    "sdxl": SizedBase(
        "Stable Diffusion XL", "UNet2DConditionModel", SDXL_UNET, 4, 128, 77, _unet, _XL_ENCODERS, _VAE, _ATTENTION
    ),
    "koala": SizedBase("KOALA-700M", "UNet2DConditionModel", _KOALA, 4, 128, 77, _unet, _XL_ENCODERS, _VAE, _ATTENTION),
    "sd3": SizedBase(
        "Stable Diffusion 3 medium",
        "SD3Transformer2DModel",
        _SD3,
        16,
        128,
        154,
        _transformer,
        _XL_ENCODERS + _T5,
        _VAE_16,
        _JOINT,
        network="layerwise",
    ),
    "flux": SizedBase(
        "FLUX.1 dev",
        "FluxTransformer2DModel",
        _FLUX,
        16,
        128,
        512,
        _transformer,
        _CLIP_L + _T5,
        _VAE_16,
        _JOINT,
        rank=16,
        network="layerwise",
        passes=1,
    ),
    "flux2-klein": SizedBase(
        "FLUX.2 klein 4B",
        "Flux2Transformer2DModel",
        _KLEIN,
        32,
        128,
        512,
        _transformer,
        4_022_468_096,  # Qwen3-4B
        84_046_115,
        _JOINT,
        rank=16,
        network="layerwise",
        steps=4,
        passes=1,
    ),
}
