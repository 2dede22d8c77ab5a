"""Batches of a concept: its encoded images at random timesteps with random noise.

Random numbers are a function of (seed, concept, step), so that a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorarar.datasets import Concept, load_images, seed_of
from lorarar.diffusion import Backbone, Conditioning, join_conditionings
from lorarar.storage import atomic_write, cached_path, sha256


@dataclass(frozen=True)
class EncodedConcept:
    """A concept's images and captions, encoded once and cached.

    Attributes:
        latents: Latents of the images, (k, channels, h, w).
        conditioning: The k encoded captions.
        captions: The k captions.
    """

    latents: Tensor
    conditioning: Conditioning
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoisyBatch:
    """A batch of noisy images of a concept.

    Attributes:
        noisy: Noisy latents, (n, channels, h, w).
        timesteps: Their timesteps, (n,).
        conditioning: The n encoded captions.
        target: What the model should predict, (n, channels, h, w).
        captions: The n captions.
    """

    noisy: Tensor
    timesteps: Tensor
    conditioning: Conditioning
    target: Tensor
    captions: tuple[str, ...] = ()

    def __getitem__(self, index: Tensor) -> NoisyBatch:
        at = index.to(self.noisy.device)
        captions = tuple(self.captions[i] for i in index.tolist()) if self.captions else ()
        return NoisyBatch(self.noisy[at], self.timesteps[at], self.conditioning[at], self.target[at], captions)


def join_batches(batches: Sequence[NoisyBatch]) -> NoisyBatch:
    """Return batches as one, in their order."""
    return NoisyBatch(
        torch.cat([batch.noisy for batch in batches]),
        torch.cat([batch.timesteps for batch in batches]),
        join_conditionings([batch.conditioning for batch in batches]),
        torch.cat([batch.target for batch in batches]),
        tuple(caption for batch in batches for caption in batch.captions),
    )


def encode_prior(backbone: Backbone, concept: Concept, latents: Path | None = None) -> EncodedConcept:
    """Encode the images of a concept's class, with the prompt of the class; see `encode_concept`."""
    captions = (concept.class_prompt,) * len(concept.prior)
    return encode_concept(backbone, replace(concept, images=concept.prior, captions=captions), latents)


@torch.no_grad()
def encode_concept(backbone: Backbone, concept: Concept, latents: Path | None = None) -> EncodedConcept:
    """Encode a concept's images and captions.

    Args:
        backbone: The base.
        concept: The concept.
        latents: Folder of encoded images, found by the hashes of the images and of the autoencoder; None keeps none.
    """
    return EncodedConcept(
        _encode_images(backbone, concept, latents), backbone.encode_prompts(concept.captions), concept.captions
    )


def _encode_images(backbone: Backbone, concept: Concept, latents: Path | None) -> Tensor:
    """Return the latents of a concept's images (k, channels, h, w), from the folder where they are there."""
    if latents is None:
        return backbone.encode_images(load_images(concept.images, backbone.resolution))
    identity = {"autoencoder": backbone.autoencoder_sha256, "images": [sha256(image) for image in concept.images]}
    file = cached_path(latents, identity | {"resolution": backbone.resolution}, ".safetensors")
    if not file.exists():
        encoded = backbone.encode_images(load_images(concept.images, backbone.resolution))
        with atomic_write(file, force=True) as temporary:
            save_file({"latents": encoded.cpu().contiguous()}, temporary)
    return load_file(file)["latents"].to(backbone.device)


def step_generator(*parts: object) -> torch.Generator:
    """Return the random numbers of a step: a function of the parts (seed, concept, step) alone."""
    return torch.Generator().manual_seed(seed_of(*parts))


def sample_noise(backbone: Backbone, latents: Tensor, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return timesteps (count,) and noise (count, channels, h, w) for latents (k, channels, h, w).

    The generator is on the CPU, so the numbers are the same on every device.
    """
    timesteps = torch.randint(backbone.noise.steps, (count,), generator=random)
    noise = torch.randn((count, *latents.shape[1:]), generator=random)
    return timesteps.to(latents.device), noise.to(latents)


def noisy_batch(
    backbone: Backbone, encoded: EncodedConcept, timesteps: Tensor, noise: Tensor, random: torch.Generator
) -> NoisyBatch:
    """Return as many noisy images of a concept as there are timesteps.

    The images are in random order; each occurs once before any occurs again.
    """
    size, count = len(encoded.latents), len(timesteps)
    order = torch.cat([torch.randperm(size, generator=random) for _ in range(-(-count // size))])[:count]
    captions = tuple(encoded.captions[i] for i in order.tolist()) if encoded.captions else ()
    order = order.to(encoded.latents.device)
    latents = encoded.latents[order]
    return NoisyBatch(
        backbone.add_noise(latents, noise, timesteps),
        timesteps,
        encoded.conditioning[order],
        backbone.target(latents, noise, timesteps),
        captions,
    )
