"""Pipelines with a flow-matching transformer: Stable Diffusion 3 and FLUX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lorarar.diffusion.architecture import Architecture
from lorarar.diffusion.conditioning import Conditioning
from lorarar.diffusion.unet import pooled_call_arguments

_FLUX_TOKENS = 512  # the most that FLUX's pipeline takes
_FLUX_GUIDANCE = 1.0  # in training: the distribution of the data, without the sharpening of guidance


def _encode_sd3(pipeline: Any, prompts: Sequence[str], device: torch.device) -> Conditioning:
    """Return the embeddings of both CLIP encoders side by side, then T5's (zeros if the pipeline has no T5).

    T5 takes as many tokens as CLIP does: enough for a caption, and much cheaper than the pipeline's 256.
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
    """Return T5's embeddings and CLIP's pooled one."""
    length = min(_FLUX_TOKENS, pipeline.tokenizer_2.model_max_length)
    embeddings, pooled, _ = pipeline.encode_prompt(list(prompts), device=device, max_sequence_length=length)
    return Conditioning(embeddings, pooled)


def _predict_sd3(
    denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning, resolution: int
) -> Tensor:
    predicted: Tensor = denoiser(
        hidden_states=noisy,
        timestep=timesteps,
        encoder_hidden_states=conditioning.embeddings,
        pooled_projections=conditioning.pooled,
    ).sample
    return predicted


def _predict_flux(
    denoiser: Any, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning, resolution: int
) -> Tensor:
    height, width = (side // 2 for side in noisy.shape[-2:])
    embeddings = conditioning.embeddings
    guidance = noisy.new_full((len(noisy),), _FLUX_GUIDANCE) if denoiser.config.guidance_embeds else None
    predicted = denoiser(
        hidden_states=pack(noisy),
        timestep=timesteps / 1000,
        guidance=guidance,
        pooled_projections=conditioning.pooled,
        encoder_hidden_states=embeddings,
        txt_ids=embeddings.new_zeros(embeddings.shape[1], 3),
        img_ids=positions(height, width).to(embeddings),
    ).sample
    return unpack(predicted, height, width)


def pack(latents: Tensor) -> Tensor:
    """Return FLUX's tokens of 2 x 2 latents each: (n, channels, h, w) to (n, h/2 w/2, 4 channels)."""
    blocks: Tensor = latents.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))  # (n, channels, h/2, 2, w/2, 2)
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """Return the latents of height x width tokens: the inverse of `pack`."""
    blocks: Tensor = tokens.unflatten(1, (height, width)).unflatten(-1, (-1, 2, 2))
    return blocks.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def positions(height: int, width: int, first: int = 0) -> Tensor:
    """Return (first, row, column) of each of FLUX's image tokens, (height width, 3); `first` numbers the image."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.full_like(rows, first), rows, columns], dim=-1).flatten(0, 1)


def _flux_call_arguments(
    latents: Tensor, conditioning: Conditioning, unconditional: Conditioning | None
) -> dict[str, Any]:
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
    pooled_call_arguments,
)
FLUX = Architecture(
    "transformer",
    ("text_encoder", "text_encoder_2"),
    lambda pipeline: int(pipeline.vae.config.sample_size),  # the transformer takes any size
    lambda pipeline: int(pipeline.transformer.config.in_channels) // 4,
    _encode_flux,
    _predict_flux,
    _flux_call_arguments,
    two_passes=False,
)
