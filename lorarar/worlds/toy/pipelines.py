"""Toy bases before training: tiny, genuine pipelines of diffusers, of two architectures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lorarar.worlds.toy.autoencoder import LATENT_CHANNELS
from lorarar.worlds.toy.recipes import Shape
from lorarar.worlds.toy.vocabulary import LENGTH, build_tokenizer

TEXT_WIDTHS = (48, 64)
_LATENT_SIDE = 8
_HEADS = 4


@dataclass(frozen=True)
class SharedParts:
    """Parts that bases can share: autoencoder, tokenizer, both text encoders."""

    autoencoder: AutoencoderKL
    tokenizer: CLIPTokenizer
    first: CLIPTextModel
    second: CLIPTextModelWithProjection


def new_parts(autoencoder: AutoencoderKL) -> SharedParts:
    """Return new text encoders, randomly initialised, to train with the denoiser; the autoencoder stays frozen."""
    tokenizer = build_tokenizer()
    first = CLIPTextModel(_text_config(tokenizer, TEXT_WIDTHS[0], layers=2))
    second = CLIPTextModelWithProjection(_text_config(tokenizer, TEXT_WIDTHS[1], layers=3))
    for encoder in (first, second):
        # Rare tokens keep these values, which have about the size that trained embeddings reach.
        embeddings: Any = encoder.get_input_embeddings()
        torch.nn.init.normal_(embeddings.weight, std=0.2)
    # SDXL takes the last but one layer of its first encoder: later layers have no gradient.
    first.encoder.layers[-1].requires_grad_(False)
    first.final_layer_norm.requires_grad_(False)
    return SharedParts(autoencoder.requires_grad_(False), tokenizer, first, second)


def parts_of(base: Path) -> SharedParts:
    """Return another base's parts in float32, frozen, as SD3 reuses SDXL's text encoders."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(base, dtype=torch.float32)
    modules = (pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2)
    autoencoder, first, second = (module.requires_grad_(False).eval() for module in modules)
    return SharedParts(autoencoder, pipeline.tokenizer, first, second)


def build_pipeline(parts: SharedParts, shape: Shape) -> DiffusionPipeline:
    """Return a toy base with a randomly initialised denoiser."""
    return _sd3(parts, shape) if shape.denoiser == "transformer" else _sdxl(parts, shape)


def _sdxl(parts: SharedParts, shape: Shape) -> StableDiffusionXLPipeline:
    """Return a base of SDXL's class that predicts the clean sample, with zero terminal signal-to-noise ratio."""
    return StableDiffusionXLPipeline(
        vae=parts.autoencoder,
        text_encoder=parts.first,
        text_encoder_2=parts.second,
        tokenizer=parts.tokenizer,
        tokenizer_2=parts.tokenizer,
        unet=_build_unet(shape),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type="sample",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
            set_alpha_to_one=True,
        ),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def _sd3(parts: SharedParts, shape: Shape) -> StableDiffusion3Pipeline:
    """Return a base of SD3's class with flow matching without a shift.

    It has no T5: that share of the prompt is zeros, as in SD3's own pipeline.
    """
    parts.autoencoder.register_to_config(shift_factor=0.0)
    return StableDiffusion3Pipeline(
        vae=parts.autoencoder,
        text_encoder=_projected(parts.first),
        text_encoder_2=parts.second,
        text_encoder_3=None,
        tokenizer=parts.tokenizer,
        tokenizer_2=parts.tokenizer,
        tokenizer_3=None,
        transformer=_build_transformer(shape),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
    )


def _projected(encoder: CLIPTextModel) -> CLIPTextModelWithProjection:
    """Return the same text encoder in SD3's class; the projection of its pooled state is the identity."""
    projected = CLIPTextModelWithProjection(encoder.config)
    projected.text_model.load_state_dict(encoder.state_dict())
    torch.nn.init.eye_(projected.text_projection.weight)
    projected.requires_grad_(False).eval()
    return projected


def _text_config(tokenizer: CLIPTokenizer, width: int, layers: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=_HEADS,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _build_unet(shape: Shape) -> UNet2DConditionModel:
    time_width = 8
    return UNet2DConditionModel(
        sample_size=_LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=shape.widths,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        transformer_layers_per_block=shape.blocks,
        attention_head_dim=_HEADS,  # diffusers' name for their number
        cross_attention_dim=sum(TEXT_WIDTHS),
        addition_embed_type="text_time",
        addition_time_embed_dim=time_width,
        projection_class_embeddings_input_dim=TEXT_WIDTHS[1] + 6 * time_width,
        norm_num_groups=16,
        use_linear_projection=True,
    )


def _build_transformer(shape: Shape) -> SD3Transformer2DModel:
    (width,) = shape.widths
    return SD3Transformer2DModel(
        sample_size=_LATENT_SIDE,
        patch_size=1,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=shape.blocks,
        attention_head_dim=width // _HEADS,
        num_attention_heads=_HEADS,
        joint_attention_dim=sum(TEXT_WIDTHS),
        caption_projection_dim=width,
        pooled_projection_dim=sum(TEXT_WIDTHS),
        pos_embed_max_size=_LATENT_SIDE,
        qk_norm="rms_norm",
    )
