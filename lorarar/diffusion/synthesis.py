"""Synthetic images: the base alone samples them from prompts.

Synthetic images of pairs are inputs of distillation, which then needs no real image of a pair. Synthetic images of
concepts stand in for reference images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorarar.datasets import Pair, SyntheticConcept, save_image, seed_of
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.sampling import sample_loras, sample_prompts
from lorarar.diffusion.settings import SAMPLING, Sampling
from lorarar.storage import atomic_write, progress, track

_BATCH = 32


def synthesise_pairs(
    backbone: Backbone, pairs: Sequence[Pair], *, cache: Path | None = None, sampling: Sampling = SAMPLING
) -> dict[str, Tensor]:
    """Sample one image of each pair from its description, by the base alone.

    Args:
        backbone: The base.
        pairs: Pairs with descriptions of both concepts.
        cache: A safetensors file that keeps the latents, so that a run can resume; read if it exists.
        sampling: Steps and guidance.

    Returns:
        Latents (1, channels, h, w) by the pair's name.

    Raises:
        ValueError: A pair has no description.
    """
    undescribed = [pair.name for pair in pairs if not pair.description]
    if undescribed:
        raise ValueError(
            f"expected a description of both concepts of each pair, found {len(undescribed)} pairs without, first "
            f"{undescribed[:3]}: add `description` to the manifest, in words that the base understands, or set "
            "loss_weights.distillation=0"
        )
    if cache and cache.is_file():
        cached = load_file(cache)
        return {pair.name: cached[pair.name] for pair in pairs}
    latents: dict[str, Tensor] = {}
    with progress("synthesise pairs", len(pairs), "images") as advance:
        for start in range(0, len(pairs), _BATCH):
            batch = pairs[start : start + _BATCH]
            encoded = _synthesise_batch(backbone, batch, start, sampling)
            latents |= zip([pair.name for pair in batch], encoded, strict=True)
            advance(len(batch))
    if cache:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cache, force=True) as temporary:
            save_file(latents, temporary)
    return latents


@torch.no_grad()
def _synthesise_batch(backbone: Backbone, pairs: Sequence[Pair], seed: int, sampling: Sampling) -> list[Tensor]:
    """Return the latents of one batch of pairs, all from one starting noise."""
    prompts = [pair.description for pair in pairs]
    images = sample_loras(backbone, [None] * len(pairs), prompts, [seed], sampling)[:, 0]
    latents = backbone.encode_images(images * 2 - 1).cpu()
    return [latent[None].contiguous() for latent in latents]


def synthesise_concepts(
    backbone: Backbone, concepts: Sequence[SyntheticConcept], *, sampling: Sampling = SAMPLING
) -> list[Path]:
    """Write reference images `folder/<i>.png` of concepts that have prompts alone, one image for each prompt.

    A folder appears when all its images are written. Folders that exist are kept, so that a stopped run can resume.
    The noise depends on the concept's name and the image's number.

    Returns:
        The folders of all concepts, including those that existed.
    """
    for concept in track(concepts, "synthesise images", unit="concepts"):
        if concept.folder.exists():
            continue
        seeds = [seed_of(concept.name, i) for i in range(len(concept.prompts))]
        part = concept.folder.with_name(f".{concept.folder.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(sample_prompts(backbone, concept.prompts, seeds, sampling)):
            save_image(image, part / f"{i}.png")
        part.rename(concept.folder)
    return [concept.folder for concept in concepts]
