"""Bases before training: tiny, genuine pipelines of diffusers, of three architectures."""

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
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from lorarar.worlds.stages.recipes import Shape
from lorarar.worlds.stages.vocabulary import build_tokenizer
from lorarar.worlds.stages.world import World

_HEADS = 4


@dataclass(frozen=True)
class SharedParts:
    """Parts that bases can share: autoencoder, tokenizer, both text encoders."""

    autoencoder: AutoencoderKL
    tokenizer: CLIPTokenizer
    first: CLIPTextModel
    second: CLIPTextModelWithProjection


def new_parts(autoencoder: AutoencoderKL, world: World, shape: Shape) -> SharedParts:
    """Return new text encoders, randomly initialised, to train with the denoiser; the autoencoder stays frozen."""
    tokenizer = build_tokenizer(world.vocabulary(), world.prompt_length)
    first = CLIPTextModel(_text_config(tokenizer, shape.text_widths[0], layers=2))
    second = CLIPTextModelWithProjection(_text_config(tokenizer, shape.text_widths[1], layers=3))
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
    """Return a base with a randomly initialised denoiser for the parts' latents and text states."""
    return {"unet": _sdxl, "transformer": _sd3, "flux": _flux}[shape.denoiser](parts, shape)


def _sdxl(parts: SharedParts, shape: Shape) -> StableDiffusionXLPipeline:
    """Return a base of SDXL's class that predicts the clean sample, with zero terminal signal-to-noise ratio."""
    return StableDiffusionXLPipeline(
        vae=parts.autoencoder,
        text_encoder=parts.first,
        text_encoder_2=parts.second,
        tokenizer=parts.tokenizer,
        tokenizer_2=parts.tokenizer,
        unet=_build_unet(parts, shape),
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
        transformer=_build_transformer(parts, shape),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
    )


def _flux(parts: SharedParts, shape: Shape) -> FluxPipeline:
    """Return a base of FLUX's class with flow matching without a shift; its T5 is new, to train with the denoiser."""
    parts.autoencoder.register_to_config(shift_factor=0.0)
    return FluxPipeline(
        vae=parts.autoencoder,
        text_encoder=parts.first,
        text_encoder_2=_build_t5(parts, shape),
        tokenizer=parts.tokenizer,
        tokenizer_2=parts.tokenizer,
        transformer=_build_flux(parts, shape),
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
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _build_unet(parts: SharedParts, shape: Shape) -> UNet2DConditionModel:
    time_width, levels = 8, len(shape.widths)
    attends = [level >= shape.convolutional for level in range(levels)]
    first, second = _text_widths(parts)
    return UNet2DConditionModel(
        sample_size=_latent_side(parts),
        in_channels=parts.autoencoder.config.latent_channels,
        out_channels=parts.autoencoder.config.latent_channels,
        layers_per_block=1,
        block_out_channels=shape.widths,
        down_block_types=tuple("CrossAttnDownBlock2D" if attention else "DownBlock2D" for attention in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(attends)),
        transformer_layers_per_block=shape.blocks,
        attention_head_dim=_HEADS,  # diffusers' name for their number
        cross_attention_dim=first + second,
        addition_embed_type="text_time",
        addition_time_embed_dim=time_width,
        projection_class_embeddings_input_dim=second + 6 * time_width,
        norm_num_groups=16,
        use_linear_projection=True,
    )


def _build_transformer(parts: SharedParts, shape: Shape) -> SD3Transformer2DModel:
    (width,) = shape.widths
    channels, text_width = parts.autoencoder.config.latent_channels, sum(_text_widths(parts))
    return SD3Transformer2DModel(
        sample_size=_latent_side(parts),
        patch_size=1,
        in_channels=channels,
        out_channels=channels,
        num_layers=shape.blocks,
        attention_head_dim=width // _HEADS,
        num_attention_heads=_HEADS,
        joint_attention_dim=text_width,
        caption_projection_dim=width,
        pooled_projection_dim=text_width,
        pos_embed_max_size=_latent_side(parts),
        qk_norm="rms_norm",
    )


def _build_flux(parts: SharedParts, shape: Shape) -> FluxTransformer2DModel:
    """Return FLUX's transformer, with two single blocks for each double one.

    As in FLUX, rows and columns have 7/16 of a head's channels each, and the number of the image has the rest.
    """
    (width,) = shape.widths
    head = width // _HEADS
    rows = 2 * (7 * head // 32)
    return FluxTransformer2DModel(
        in_channels=4 * parts.autoencoder.config.latent_channels,
        num_layers=shape.blocks,
        num_single_layers=2 * shape.blocks,
        attention_head_dim=head,
        num_attention_heads=_HEADS,
        joint_attention_dim=shape.text_widths[1],
        pooled_projection_dim=parts.first.config.hidden_size,
        axes_dims_rope=(head - 2 * rows, rows, rows),
    )


def _build_t5(parts: SharedParts, shape: Shape) -> T5EncoderModel:
    width = shape.text_widths[1]
    config = T5Config(
        vocab_size=len(parts.tokenizer),
        d_model=width,
        d_kv=width // _HEADS,
        d_ff=2 * width,
        num_layers=1,
        num_heads=_HEADS,
        dropout_rate=0.0,
    )
    return T5EncoderModel(config)


def _text_widths(parts: SharedParts) -> tuple[int, int]:
    return parts.first.config.hidden_size, parts.second.config.hidden_size


def _latent_side(parts: SharedParts) -> int:
    """Return the width and height of the latents: each of the autoencoder's levels after the first halves them."""
    config = parts.autoencoder.config
    side: int = config.sample_size // 2 ** (len(config.block_out_channels) - 1)
    return side
