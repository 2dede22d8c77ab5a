"""Backbone: the parts of a pipeline as functions of tensors, whatever its family."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

import torch
from diffusers import (
    DiffusionPipeline,
    FluxPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from torch import Tensor, nn

from lorarar.diffusion.architecture import Architecture
from lorarar.diffusion.conditioning import Conditioning
from lorarar.diffusion.noise import Noise, noise_of
from lorarar.diffusion.transformer import FLUX, SD3
from lorarar.diffusion.unet import SD15, SDXL

ARCHITECTURES: Mapping[type[DiffusionPipeline], Architecture] = {
    StableDiffusionPipeline: SD15,
    StableDiffusionXLPipeline: SDXL,  # and KOALA
    StableDiffusion3Pipeline: SD3,
    FluxPipeline: FLUX,
}


class Backbone:
    """A diffusion model, as functions of tensors.

    Args:
        pipeline: A pipeline of a class in `ARCHITECTURES`.
        frozen: Whether to freeze the weights and to set the modules to evaluation.
        offload: Whether the text encoders and the autoencoder lie on the CPU while they are not used.

    Attributes:
        denoiser: The UNet or transformer.
        noise: The noise schedule.
        resolution: Width and height of images, pixels.
        latent_shape: (channels, height, width) of an image's latents.

    Raises:
        ValueError: The pipeline is of another class.
    """

    def __init__(self, pipeline: DiffusionPipeline, *, frozen: bool = True, offload: bool = False) -> None:
        if type(pipeline) not in ARCHITECTURES:
            classes = ", ".join(kind.__name__ for kind in ARCHITECTURES)
            raise ValueError(
                f"expected a pipeline among {classes}, found {type(pipeline).__name__}: give one of these as `base`"
            )
        self.pipeline, self.offload = pipeline, offload
        self.architecture = ARCHITECTURES[type(pipeline)]
        self.denoiser: nn.Module = pipeline.components[self.architecture.denoiser]
        self.noise: Noise = noise_of(pipeline.scheduler)
        self.resolution = self.architecture.resolution(pipeline)
        side = self.resolution // pipeline.vae_scale_factor
        self.latent_shape = (self.architecture.channels(pipeline), side, side)
        if frozen:
            for part in self.modules():
                part.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """Return the device of the denoiser."""
        return next(self.denoiser.parameters()).device  # diffusers' property visits every module, 1 ms or more

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype that the denoiser computes in."""
        return next(p.dtype for p in self.denoiser.parameters() if p.is_floating_point())

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """Return the pipeline's text encoders by its names for them."""
        parts = self.pipeline.components
        return {name: parts[name] for name in self.architecture.encoders if parts[name] is not None}

    def modules(self) -> list[nn.Module]:
        """Return the denoiser, the autoencoder and the text encoders."""
        return [self.denoiser, self.pipeline.vae, *self.encoders.values()]

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """Encode n prompts."""
        with self.on_device(self.encoders.values()):
            return self.architecture.encode(self.pipeline, prompts, self.device)

    def unconditional(self, conditioning: Conditioning) -> Conditioning:
        """Return the empty prompt's conditioning, which classifier-free guidance subtracts.

        SDXL's pipeline takes zeros in its place (`force_zeros_for_empty_prompt`).

        Args:
            conditioning: The conditional prompts, whose shape the result has.
        """
        if self.pipeline.config.get("force_zeros_for_empty_prompt", False):
            pooled = conditioning.pooled
            zeros = None if pooled is None else torch.zeros_like(pooled)
            return Conditioning(torch.zeros_like(conditioning.embeddings), zeros)
        return self.encode_prompts([""] * len(conditioning.embeddings))

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Encode images (n, 3, height, width), -1 to 1, to scaled latents (n, channels, height/8, width/8).

        The latents are the posterior's mean, so that they can be cached, in float32, because noise is added to them.
        (The embedded base's autoencoder divides height and width by 4, the large models' by 8.)
        """
        with self.on_device([self.pipeline.vae]):
            return self._encode_images(images)

    def _encode_images(self, images: Tensor) -> Tensor:
        vae = self.pipeline.vae
        dtype, config = vae.dtype, vae.config
        upcast = config.force_upcast and dtype != torch.float32
        if upcast:
            vae.to(torch.float32)  # SDXL's autoencoder overflows in fp16
        encoded = vae.encode(images.to(vae.device, vae.dtype))
        if upcast:
            vae.to(dtype)
        latents: Tensor = ((encoded.latent_dist.mean - (config.shift_factor or 0.0)) * config.scaling_factor).float()
        return latents

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noisy latents at timesteps (n,), integers from 0 (clean) to 999."""
        return self.noise.add(latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the model should predict: noise, velocity or the clean sample, by its scheduler."""
        return self.noise.target(latents, noise, timesteps)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Return the model's prediction (noise, velocity or sample), shaped like `noisy`, in the model's dtype."""
        times = self.noise.model_timesteps(timesteps)
        return self.architecture.predict(self.denoiser, noisy.to(self.dtype), times, conditioning, self.resolution)

    def passes(self, guidance: float) -> int:
        """Return the shares of the denoiser's batch in sampling.

        With guidance there are two: all unconditional inputs, then all conditional ones.
        """
        return 2 if guidance > 1 and self.architecture.two_passes else 1

    def sampler_calls(self, steps: int) -> int:
        """Return how often the pipeline's sampler calls the denoiser in a number of steps."""
        scheduler = self.pipeline.scheduler
        dynamic = {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting", False) else {}
        scheduler.set_timesteps(steps, **dynamic)
        return len(scheduler.timesteps)

    def sample(self, conditioning: Conditioning, latents: Tensor, steps: int, guidance: float) -> Tensor:
        """Sample images (n, 3, height, width), 0 to 1, by the base's own pipeline.

        Args:
            conditioning: The n encoded prompts.
            latents: The starting noise, (n, channels, h, w).
            steps: Steps of the pipeline's sampler.
            guidance: Scale of classifier-free guidance, 1 is without; for FLUX an input of the model.
        """
        unconditional = self.unconditional(conditioning) if self.passes(guidance) == 2 else None
        with self.on_device([self.pipeline.vae]), self._without_encoders():
            images: Tensor = self.pipeline(
                **self.architecture.call_arguments(latents, conditioning, unconditional),
                height=self.resolution,
                width=self.resolution,
                num_inference_steps=steps,
                guidance_scale=guidance,
                output_type="pt",
            ).images
        return images

    @contextmanager
    def on_device(self, parts: Iterable[nn.Module]) -> Iterator[None]:
        """Move offloaded parts to the device of the denoiser until the context closes."""
        moved = list(parts) if self.offload else []
        for part in moved:
            part.to(self.device)
        try:
            yield
        finally:
            for part in moved:
                part.to("cpu")

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Move the denoiser of an offloaded base to the CPU until the context closes, to leave room for another one."""
        device = self.device
        self.denoiser.to("cpu" if self.offload else device)
        try:
            yield
        finally:
            self.denoiser.to(device)

    @contextmanager
    def _without_encoders(self) -> Iterator[None]:
        """Take offloaded text encoders out of the pipeline, which would compute where its first part lies."""
        taken = self.encoders if self.offload else {}
        for name in taken:
            setattr(self.pipeline, name, None)
        try:
            yield
        finally:
            for name, encoder in taken.items():
                setattr(self.pipeline, name, encoder)

    @cached_property
    def autoencoder_sha256(self) -> str:
        """Return the SHA-256 of the autoencoder's weights: latents of another one differ."""
        hashed = hashlib.sha256()
        for weight in self.pipeline.vae.state_dict().values():
            hashed.update(weight.detach().float().cpu().numpy().tobytes())
        return hashed.hexdigest()
