"""What a training step sees of a concept: its encoded images at drawn timesteps with drawn noise.

Every draw is a function of (seed, what, step), so that a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lorarar.datasets import Concept, load_images, seed_of
from lorarar.diffusion import Backbone, Conditioning


@dataclass(frozen=True)
class Encoded:
    """A concept's images (``latents``, (k, channels, h, w)) and captions, encoded once and cached."""

    latents: Tensor
    conditioning: Conditioning


@dataclass(frozen=True)
class NoisyBatch:
    """Noisy latents (n, channels, h, w), their timesteps (n,) and captions, and what to predict."""

    noisy: Tensor
    timesteps: Tensor
    conditioning: Conditioning
    target: Tensor


@torch.no_grad()
def encode_concept(backbone: Backbone, concept: Concept) -> Encoded:
    """Encode a concept's images and captions."""
    images = load_images(concept.images, backbone.resolution)
    return Encoded(backbone.encode_images(images), backbone.encode_prompts(concept.captions))


def step_generator(*parts: object) -> torch.Generator:
    """The random numbers of a step: a function of the parts (seed, concept, step) alone."""
    return torch.Generator().manual_seed(seed_of(*parts))


def sample_noise(backbone: Backbone, latents: Tensor, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Timesteps (count,) and noise (count, channels, h, w) for latents (k, channels, h, w), from a CPU generator.

    They are the same on every device.
    """
    timesteps = torch.randint(backbone.noise.steps, (count,), generator=random)
    noise = torch.randn((count, *latents.shape[1:]), generator=random)
    return timesteps.to(latents.device), noise.to(latents)


def noisy_batch(
    backbone: Backbone, encoded: Encoded, timesteps: Tensor, noise: Tensor, random: torch.Generator
) -> NoisyBatch:
    """As many of a concept's images as there are timesteps, in random order, none twice before all were seen."""
    size, count = len(encoded.latents), len(timesteps)
    order = torch.cat([torch.randperm(size, generator=random) for _ in range(-(-count // size))])[:count]
    order = order.to(encoded.latents.device)
    latents = encoded.latents[order]
    return NoisyBatch(
        backbone.add_noise(latents, noise, timesteps),
        timesteps,
        encoded.conditioning[order],
        backbone.target(latents, noise, timesteps),
    )
