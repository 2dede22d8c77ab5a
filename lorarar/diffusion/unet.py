"""Pipelines with a UNet: Stable Diffusion 1.5, and Stable Diffusion XL, whose class KOALA shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lorarar.diffusion.architecture import Architecture
from lorarar.diffusion.conditioning import Conditioning


def _encode(pipeline: Any, prompts: Sequence[str], device: torch.device) -> Conditioning:
    """Return the embeddings of the one text encoder."""
    embeddings, _ = pipeline.encode_prompt(list(prompts), device, 1, do_classifier_free_guidance=False)
    return Conditioning(embeddings, None)


def _encode_xl(pipeline: Any, prompts: Sequence[str], device: torch.device) -> Conditioning:
    """Return the embeddings of both text encoders and the pooled projection of the second."""
    embeddings, _, pooled, _ = pipeline.encode_prompt(
        prompt=list(prompts), device=device, do_classifier_free_guidance=False
    )
    return Conditioning(embeddings, pooled)


def _predict(
    denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning, resolution: int
) -> Tensor:
    predicted: Tensor = denoiser(noisy, timesteps, conditioning.embeddings).sample
    return predicted


def _predict_xl(
    denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning, resolution: int
) -> Tensor:
    """Predict for an uncropped image of the base's own resolution, which SDXL takes as an input."""
    size = float(resolution)
    time_ids = noisy.new_tensor([[size, size, 0, 0, size, size]]).repeat(len(noisy), 1)
    extra = {"text_embeds": conditioning.pooled, "time_ids": time_ids}
    predicted: Tensor = denoiser(noisy, timesteps, conditioning.embeddings, added_cond_kwargs=extra).sample
    return predicted


def _call_arguments(latents: Tensor, conditioning: Conditioning, unconditional: Conditioning | None) -> dict[str, Any]:
    return {
        "latents": latents,
        "prompt_embeds": conditioning.embeddings,
        "negative_prompt_embeds": unconditional and unconditional.embeddings,
    }


def pooled_call_arguments(
    latents: Tensor, conditioning: Conditioning, unconditional: Conditioning | None
) -> dict[str, Any]:
    """Return the arguments of the call of a pipeline that takes pooled embeddings too."""
    return _call_arguments(latents, conditioning, unconditional) | {
        "pooled_prompt_embeds": conditioning.pooled,
        "negative_pooled_prompt_embeds": unconditional and unconditional.pooled,
    }


def _resolution(pipeline: Any) -> int:
    return int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)


def _channels(pipeline: Any) -> int:
    return int(pipeline.unet.config.out_channels)  # a UNet for editing takes more than it predicts


SD15 = Architecture("unet", ("text_encoder",), _resolution, _channels, _encode, _predict, _call_arguments)
SDXL = Architecture(
    "unet", ("text_encoder", "text_encoder_2"), _resolution, _channels, _encode_xl, _predict_xl, pooled_call_arguments
)
