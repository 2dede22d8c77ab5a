"""A frozen diffusion model behind four functions: encode prompts and images, add noise, predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor, nn


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts: ``embeddings`` (batch, length, width) and ``pooled`` (batch, width)."""

    embeddings: Tensor
    pooled: Tensor

    def __getitem__(self, index: Tensor | slice) -> Conditioning:
        return Conditioning(self.embeddings[index], self.pooled[index])

    def to(self, device: torch.device | str) -> Conditioning:
        """The same on another device."""
        return Conditioning(self.embeddings.to(device), self.pooled.to(device))


def stack(conditionings: Sequence[Conditioning]) -> Conditioning:
    """One batch from several, in their order."""
    return Conditioning(torch.cat([c.embeddings for c in conditionings]), torch.cat([c.pooled for c in conditionings]))


class Backbone:
    """The parts of a Stable Diffusion XL pipeline, as functions of tensors.

    Args:
        pipeline: any StableDiffusionXLPipeline; its weights are frozen here unless ``frozen`` is False.
    """

    def __init__(self, pipeline: DiffusionPipeline, *, frozen: bool = True) -> None:
        if not isinstance(pipeline, StableDiffusionXLPipeline):
            raise TypeError(
                f"expected a StableDiffusionXLPipeline, found {type(pipeline).__name__}: "
                "give --base a model in the layout of stabilityai/stable-diffusion-xl-base-1.0"
            )
        self.pipeline = pipeline
        self.denoiser: nn.Module = pipeline.unet
        self.noise = DDPMScheduler.from_config(pipeline.scheduler.config)
        self.resolution = pipeline.unet.config.sample_size * pipeline.vae_scale_factor  # pixels
        if frozen:
            for part in self.modules():
                part.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""
        return next(self.denoiser.parameters()).device  # diffusers' property visits every module, 1 ms or more

    @property
    def dtype(self) -> torch.dtype:
        """What the denoiser computes in."""
        return next(p.dtype for p in self.denoiser.parameters() if p.is_floating_point())

    def modules(self) -> list[nn.Module]:
        """Denoiser, autoencoder and both text encoders."""
        pipeline = self.pipeline
        return [pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2]

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """Both text encoders' embeddings and the second one's pooled projection."""
        embeddings, _, pooled, _ = self.pipeline.encode_prompt(
            prompt=list(prompts), device=self.device, do_classifier_free_guidance=False
        )
        return Conditioning(embeddings, pooled)

    def unconditional(self, conditioning: Conditioning) -> Conditioning:
        """What classifier-free guidance subtracts, shaped like the given prompts: zeros, as SDXL's pipeline has it.

        Pipelines without ``force_zeros_for_empty_prompt`` take the empty prompt instead.
        """
        if self.pipeline.config.force_zeros_for_empty_prompt:
            return Conditioning(torch.zeros_like(conditioning.embeddings), torch.zeros_like(conditioning.pooled))
        return self.encode_prompts([""] * len(conditioning.embeddings))

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Images (n, 3, height, width), -1 to 1, to scaled latents (n, channels, height/8, width/8).

        The posterior's mean is taken, so that latents can be cached; in float32, because noise is added to them.
        (The embedded base's autoencoder divides by 4, SDXL's by 8.)
        """
        vae = self.pipeline.vae
        dtype = vae.dtype
        upcast = vae.config.force_upcast and dtype != torch.float32
        if upcast:
            vae.to(torch.float32)  # SDXL's autoencoder overflows in fp16
        encoded = vae.encode(images.to(vae.device, vae.dtype))
        if upcast:
            vae.to(dtype)
        return (encoded.latent_dist.mean * vae.config.scaling_factor).float()

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The latents at the given timesteps, (n,) integers from 0 (clean) to 999."""
        return self.noise.add_noise(latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the model should predict: noise, velocity or the clean sample, by its scheduler."""
        kind = self.noise.config.prediction_type
        if kind == "epsilon":
            return noise
        if kind == "v_prediction":
            return self.noise.get_velocity(latents, noise, timesteps)
        if kind == "sample":
            return latents
        raise ValueError(f"expected prediction type epsilon, v_prediction or sample, found {kind!r}")

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The model's own prediction (epsilon, velocity or sample), shaped like ``noisy``, in the model's dtype."""
        noisy = noisy.to(self.dtype)
        size = float(self.resolution)
        time_ids = noisy.new_tensor([[size, size, 0, 0, size, size]]).repeat(len(noisy), 1)
        extra = {"text_embeds": conditioning.pooled, "time_ids": time_ids}
        return self.denoiser(noisy, timesteps, conditioning.embeddings, added_cond_kwargs=extra).sample


def load_backbone(
    base: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32, gradient_checkpointing: bool = False
) -> Backbone:
    """Load a base model from a folder or a hub id through diffusers' ``from_pretrained``.

    Raises:
        FileNotFoundError: ``base`` looks like a path but there is no model in it.
    """
    path = Path(base)
    looks_local = isinstance(base, Path) or str(base).startswith((".", "/", "~")) or str(base).count("/") > 1
    looks_local = looks_local or (len(path.parts) > 1 and Path(path.parts[0]).is_dir())
    if looks_local and not (path / "model_index.json").is_file():
        raise FileNotFoundError(
            f"expected a diffusers model (a folder with model_index.json) at {path}, found none: "
            "check --base, or give a hub id such as stabilityai/stable-diffusion-xl-base-1.0"
        )
    pipeline = StableDiffusionXLPipeline.from_pretrained(base, dtype=dtype).to(device)
    pipeline.set_progress_bar_config(disable=True)
    backbone = Backbone(pipeline)
    if gradient_checkpointing:
        backbone.denoiser.enable_gradient_checkpointing()
        backbone.denoiser.train()  # diffusers checkpoints in training mode only; nothing here drops out
    return backbone
