"""Whole pipelines of each family's own structure, shrunken and with random weights: what the toy base is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from lorarar.worlds.stages.vocabulary import build_tokenizer
from lorarar.worlds.toy.vocabulary import LENGTH, vocabulary_words

WIDTHS = (8, 16)  # of the two CLIP text encoders; SDXL and SD3: 768, 1280
T5_WIDTH = 32  # SD3 and FLUX: 4096
_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


def _text_config(width: int) -> CLIPTextConfig:
    tokenizer = build_tokenizer(vocabulary_words(), LENGTH)
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _t5() -> tuple[T5EncoderModel, T5Tokenizer]:
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -1.0) for word in vocabulary_words())]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=12)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=T5_WIDTH, d_kv=8, d_ff=16, num_layers=1, num_heads=2, is_gated_act=True
    )
    return T5EncoderModel(config), tokenizer


def _autoencoder(channels: int, scaling: float, shift: float | None = None) -> AutoencoderKL:
    """64 pixels to 8 x 8 latents."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=scaling,
        shift_factor=shift,
    )


def shrunken_sd15() -> StableDiffusionPipeline:
    """SD 1.5's configuration with 16, 32, 64, 64 channels in place of 320 to 1280, and 64 pixels in place of 512."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32, 64, 64),
        attention_head_dim=2,
        cross_attention_dim=WIDTHS[0],
        norm_num_groups=8,
    )
    return StableDiffusionPipeline(
        vae=_autoencoder(4, 0.18215),
        text_encoder=CLIPTextModel(_text_config(WIDTHS[0])),
        tokenizer=build_tokenizer(vocabulary_words(), LENGTH),
        unet=unet,
        scheduler=PNDMScheduler(**_BETAS, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def shrunken_sdxl(**changes: object) -> StableDiffusionXLPipeline:
    """SDXL's configuration with 16, 32, 64 channels in place of 320, 640, 1280, and 64 pixels in place of 1024."""
    torch.manual_seed(0)
    config = {
        "sample_size": 8,
        "layers_per_block": 2,
        "block_out_channels": (16, 32, 64),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 2),
        "attention_head_dim": (1, 2, 4),
        "cross_attention_dim": sum(WIDTHS),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": WIDTHS[1] + 6 * 4,
        "norm_num_groups": 8,
        "use_linear_projection": True,
    }
    tokenizer = build_tokenizer(vocabulary_words(), LENGTH)
    return StableDiffusionXLPipeline(
        vae=_autoencoder(4, 0.13025),
        text_encoder=CLIPTextModel(_text_config(WIDTHS[0])),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(WIDTHS[1])),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=UNet2DConditionModel(**config | changes),
        scheduler=EulerDiscreteScheduler(**_BETAS, timestep_spacing="leading"),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def shrunken_koala() -> StableDiffusionXLPipeline:
    """KOALA-700M: SDXL with half of the layers and no middle block."""
    return shrunken_sdxl(layers_per_block=1, mid_block_type=None)


def shrunken_sd3() -> StableDiffusion3Pipeline:
    """SD3 medium's configuration with width 32 in place of 1536, 2 blocks in place of 24."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=T5_WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=sum(WIDTHS),
        pos_embed_max_size=12,
    )
    first, second = (CLIPTextModelWithProjection(_text_config(width)) for width in WIDTHS)
    encoder, t5_tokenizer = _t5()
    tokenizer = build_tokenizer(vocabulary_words(), LENGTH)
    return StableDiffusion3Pipeline(
        vae=_autoencoder(16, 1.5305, 0.0609),
        text_encoder=first,
        text_encoder_2=second,
        text_encoder_3=encoder,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=t5_tokenizer,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def shrunken_flux(guidance: bool = True) -> FluxPipeline:
    """FLUX.1's configuration with width 32 in place of 3072, 1 + 2 blocks in place of 19 + 38."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=WIDTHS[0],
        guidance_embeds=guidance,
        axes_dims_rope=(4, 6, 6),
    )
    encoder, t5_tokenizer = _t5()
    return FluxPipeline(
        vae=_autoencoder(16, 0.3611, 0.1159),
        text_encoder=CLIPTextModel(_text_config(WIDTHS[0])),
        text_encoder_2=encoder,
        tokenizer=build_tokenizer(vocabulary_words(), LENGTH),
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    )


SHRUNKEN: Mapping[str, Callable[[], DiffusionPipeline]] = {
    "sd15": shrunken_sd15,
    "sdxl": shrunken_sdxl,
    "koala": shrunken_koala,
    "sd3": shrunken_sd3,
    "flux": shrunken_flux,
}
