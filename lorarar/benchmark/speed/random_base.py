"""Random base: a backbone of a family's true shapes with random weights, for times and memory without a download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from torch import Tensor, nn

from lorarar.benchmark.size import SizedBase
from lorarar.diffusion import Backbone, Conditioning

_DEVIATION = 0.02  # of random weights
_TEXT = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")


class RandomBackbone(Backbone):
    """A base of true shapes with random weights: prompts encode to random numbers, and the autoencoder is tiny.

    Args:
        base: The shapes.
        device: Where the weights are made.
        dtype: Their type.

    Raises:
        ValueError: No pipeline of this family is supported.
    """

    def __init__(self, base: SizedBase, device: torch.device | str, dtype: torch.dtype) -> None:
        denoiser = base.new_denoiser(dtype).to_empty(device=device)
        fill_random(denoiser)
        super().__init__(_pipeline(base, denoiser, _autoencoder(base).to(device, dtype)))
        self._base = base

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """Return random numbers in the shapes of n encoded prompts."""
        arguments = self._base.inputs(self._base, len(prompts), self.dtype)
        pooled = arguments.get("pooled_projections", arguments.get("added_cond_kwargs", {}).get("text_embeds"))
        embeddings = self._random(arguments["encoder_hidden_states"])
        return Conditioning(embeddings, None if pooled is None else self._random(pooled))

    def _random(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, device=self.device, dtype=self.dtype)


def fill_random(model: nn.Module) -> None:
    """Fill a model's parameters with random weights where they lie; norms get their initial values, buffers zeros."""
    for module in model.modules():
        _fill(module)


def _fill(module: nn.Module) -> None:
    is_norm = isinstance(module, nn.GroupNorm | nn.LayerNorm | nn.RMSNorm)
    for name, parameter in module.named_parameters(recurse=False):
        if name == "bias":
            nn.init.zeros_(parameter)
        elif is_norm:
            nn.init.ones_(parameter)
        else:
            nn.init.normal_(parameter, std=_DEVIATION)
    for buffer in module.buffers(recurse=False):
        buffer.zero_()


def _autoencoder(base: SizedBase) -> nn.Module:
    """Return an autoencoder of the family's factor 8 that takes next to no time and memory."""
    blocks = 4
    model: nn.Module = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(4,) * blocks,
        norm_num_groups=1,
        latent_channels=base.channels,
        sample_size=base.side * 2 ** (blocks - 1),
        shift_factor=0.0,
        force_upcast=False,
    )
    return model


def _pipeline(base: SizedBase, denoiser: nn.Module, autoencoder: nn.Module) -> DiffusionPipeline:
    """Return the family's pipeline without text encoders.

    Raises:
        ValueError: No pipeline of this family is supported.
    """
    kinds: dict[str, type[Any]] = {
        "FluxTransformer2DModel": FluxPipeline,
        "SD3Transformer2DModel": StableDiffusion3Pipeline,
        "UNet2DConditionModel": (
            StableDiffusionXLPipeline if base.config.get("addition_embed_type") else StableDiffusionPipeline
        ),
    }
    if base.model not in kinds:
        raise ValueError(f"expected a base with one of {', '.join(kinds)}, found {base.label}: choose another")
    kind = kinds[base.model]
    parts: dict[str, Any] = {"vae": autoencoder}
    if kind in (FluxPipeline, StableDiffusion3Pipeline):
        parts |= {"transformer": denoiser, "scheduler": FlowMatchEulerDiscreteScheduler()}
        count = 2 if kind is FluxPipeline else 3
    else:
        betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
        schedule = EulerDiscreteScheduler(**betas, steps_offset=1)
        parts |= {"unet": denoiser, "scheduler": schedule}
        count = 2 if kind is StableDiffusionXLPipeline else 1
    missing = dict.fromkeys((*_TEXT[:count], *_TEXT[3 : 3 + count]))
    if kind is StableDiffusionPipeline:
        missing |= dict.fromkeys(("safety_checker", "feature_extractor"))
        parts["requires_safety_checker"] = False
    elif kind is StableDiffusionXLPipeline:
        parts["add_watermarker"] = False
    pipeline: DiffusionPipeline = kind(**parts, **missing)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
