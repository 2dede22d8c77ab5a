"""Pipelines around a UNet: Stable Diffusion 1.5, and Stable Diffusion XL, which KOALA's pipelines are too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lorarar.diffusion.architecture import Architecture
from lorarar.diffusion.conditioning import Conditioning


def _encode(pipeline: Any, prompts: Sequence[str], device: torch.device) -> Conditioning:
    """The one text encoder's embeddings."""
    embeddings, _ = pipeline.encode_prompt(list(prompts), device, 1, do_classifier_free_guidance=False)
    return Conditioning(embeddings, None)


def _encode_xl(pipeline: Any, prompts: Sequence[str], device: torch.device) -> Conditioning:
    """Both text encoders' embeddings and the second one's pooled projection."""
    embeddings, _, pooled, _ = pipeline.encode_prompt(
        prompt=list(prompts), device=device, do_classifier_free_guidance=False
    )
    return Conditioning(embeddings, pooled)


def _predict(denoiser: nn.Module, noisy: Tensor, told: Tensor, conditioning: Conditioning, resolution: int) -> Tensor:
    predicted: Tensor = denoiser(noisy, told, conditioning.embeddings).sample
    return predicted


def _predict_xl(
    denoiser: nn.Module, noisy: Tensor, told: Tensor, conditioning: Conditioning, resolution: int
) -> Tensor:
    """The image is told to be whole and of the base's own resolution."""
    size = float(resolution)
    time_ids = noisy.new_tensor([[size, size, 0, 0, size, size]]).repeat(len(noisy), 1)
    extra = {"text_embeds": conditioning.pooled, "time_ids": time_ids}
    predicted: Tensor = denoiser(noisy, told, conditioning.embeddings, added_cond_kwargs=extra).sample
    return predicted


def _called_with(latents: Tensor, conditioning: Conditioning, without: Conditioning | None) -> dict[str, Any]:
    return {
        "latents": latents,
        "prompt_embeds": conditioning.embeddings,
        "negative_prompt_embeds": without and without.embeddings,
    }


def called_with_pooled(latents: Tensor, conditioning: Conditioning, without: Conditioning | None) -> dict[str, Any]:
    """The arguments of pipelines that take pooled embeddings too."""
    return _called_with(latents, conditioning, without) | {
        "pooled_prompt_embeds": conditioning.pooled,
        "negative_pooled_prompt_embeds": without and without.pooled,
    }


def _resolution(pipeline: Any) -> int:
    return int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)


def _channels(pipeline: Any) -> int:
    return int(pipeline.unet.config.in_channels)


SD15 = Architecture("unet", ("text_encoder",), _resolution, _channels, _encode, _predict, _called_with)
SDXL = Architecture(
    "unet", ("text_encoder", "text_encoder_2"), _resolution, _channels, _encode_xl, _predict_xl, called_with_pooled
)
