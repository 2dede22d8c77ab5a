"""Pipelines around a transformer that learns a flow: Stable Diffusion 3 and FLUX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lorarar.diffusion.architecture import Architecture
from lorarar.diffusion.conditioning import Conditioning
from lorarar.diffusion.unet import called_with_pooled

_FLUX_TOKENS = 512  # the most that FLUX's pipeline takes
_FLUX_GUIDANCE = 1.0  # in training: the data as they are, not what a guided model makes of them


def _encode_sd3(pipeline: Any, prompts: Sequence[str], device: torch.device) -> Conditioning:
    """Both CLIP encoders' embeddings side by side, T5's (zeros if the pipeline has none) after them.

    T5 reads as many tokens as CLIP does: enough for a caption, and much cheaper than the pipeline's 256.
    """
    embeddings, _, pooled, _ = pipeline.encode_prompt(
        list(prompts),
        None,
        None,
        device=device,
        do_classifier_free_guidance=False,
        max_sequence_length=pipeline.tokenizer_max_length,
    )
    return Conditioning(embeddings, pooled)


def _encode_flux(pipeline: Any, prompts: Sequence[str], device: torch.device) -> Conditioning:
    """T5's embeddings and CLIP's pooled one."""
    length = min(_FLUX_TOKENS, pipeline.tokenizer_2.model_max_length)
    embeddings, pooled, _ = pipeline.encode_prompt(list(prompts), device=device, max_sequence_length=length)
    return Conditioning(embeddings, pooled)


def _predict_sd3(
    denoiser: nn.Module, noisy: Tensor, told: Tensor, conditioning: Conditioning, resolution: int
) -> Tensor:
    predicted: Tensor = denoiser(
        hidden_states=noisy,
        timestep=told,
        encoder_hidden_states=conditioning.embeddings,
        pooled_projections=conditioning.pooled,
    ).sample
    return predicted


def _predict_flux(
    denoiser: nn.Module, noisy: Tensor, told: Tensor, conditioning: Conditioning, resolution: int
) -> Tensor:
    height, width = (side // 2 for side in noisy.shape[-2:])
    embeddings = conditioning.embeddings
    guidance = noisy.new_full((len(noisy),), _FLUX_GUIDANCE) if denoiser.config.guidance_embeds else None
    predicted = denoiser(
        hidden_states=pack(noisy),
        timestep=told / 1000,
        guidance=guidance,
        pooled_projections=conditioning.pooled,
        encoder_hidden_states=embeddings,
        txt_ids=embeddings.new_zeros(embeddings.shape[1], 3),
        img_ids=_positions(height, width).to(embeddings),
    ).sample
    return unpack(predicted, height, width)


def pack(latents: Tensor) -> Tensor:
    """FLUX's tokens, 2 x 2 latents each: (n, channels, h, w) to (n, h/2 w/2, 4 channels)."""
    blocks = latents.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))  # (n, channels, h/2, 2, w/2, 2)
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`, for height x width tokens."""
    blocks = tokens.unflatten(1, (height, width)).unflatten(-1, (-1, 2, 2))
    return blocks.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def _positions(height: int, width: int) -> Tensor:
    """(0, row, column) of each of FLUX's image tokens, (height width, 3)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1)


def _called_with_flux(latents: Tensor, conditioning: Conditioning, without: Conditioning | None) -> dict[str, Any]:
    return {
        "latents": pack(latents),
        "prompt_embeds": conditioning.embeddings,
        "pooled_prompt_embeds": conditioning.pooled,
    }


SD3 = Architecture(
    "transformer",
    ("text_encoder", "text_encoder_2", "text_encoder_3"),
    lambda pipeline: int(pipeline.transformer.config.sample_size * pipeline.vae_scale_factor),
    lambda pipeline: int(pipeline.transformer.config.in_channels),
    _encode_sd3,
    _predict_sd3,
    called_with_pooled,
)
FLUX = Architecture(
    "transformer",
    ("text_encoder", "text_encoder_2"),
    lambda pipeline: int(pipeline.vae.config.sample_size),  # the transformer takes any size
    lambda pipeline: int(pipeline.transformer.config.in_channels) // 4,
    _encode_flux,
    _predict_flux,
    _called_with_flux,
    two_passes=False,
)
