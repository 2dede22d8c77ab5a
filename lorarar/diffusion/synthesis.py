"""What the base itself draws from words: of pairs, so that a merge's teacher needs no true image, and of concepts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from lorarar.datasets import Pair, SyntheticConcept, save_image, seed_of
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.sampling import Sampling, draw_prompts, generate
from lorarar.storage import atomic_write

_BATCH = 32
SAMPLING = Sampling(steps=15, guidance=2.5)


def synthesise_pairs(
    backbone: Backbone, pairs: Sequence[Pair], *, cache: Path | None = None, sampling: Sampling = SAMPLING
) -> dict[str, Tensor]:
    """One image of each pair, drawn by the base alone from the pair's description, as latents (1, channels, h, w).

    Args:
        cache: a safetensors file that keeps them, for a run that goes on.

    Raises:
        ValueError: a pair has no description.
    """
    bare = [pair.name for pair in pairs if not pair.description]
    if bare:
        raise ValueError(
            f"expected a description of both concepts of each pair, {len(bare)} pairs lack one, first {bare[:3]}: add "
            "`description` to the manifest, words that the base understands, or set weights.distillation=0"
        )
    if cache and cache.is_file():
        kept = load_file(cache)
        return {pair.name: kept[pair.name] for pair in pairs}
    drawn: dict[str, Tensor] = {}
    for start in tqdm(range(0, len(pairs), _BATCH), desc="the base draws", unit="batch"):
        part = pairs[start : start + _BATCH]
        drawn |= zip([pair.name for pair in part], _drawn(backbone, part, start, sampling), strict=True)
    if cache:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cache, force=True) as temporary:
            save_file(drawn, temporary)
    return drawn


@torch.no_grad()
def _drawn(backbone: Backbone, pairs: Sequence[Pair], seed: int, sampling: Sampling) -> list[Tensor]:
    """One batch from one starting noise."""
    prompts = [pair.description for pair in pairs]
    images = generate(backbone, [None] * len(pairs), prompts, [seed], sampling)[:, 0]
    latents = backbone.encode_images(images * 2 - 1).cpu()
    return [latent[None].contiguous() for latent in latents]


def synthesise_concepts(
    backbone: Backbone, concepts: Sequence[SyntheticConcept], *, sampling: Sampling = SAMPLING
) -> list[Path]:
    """Reference images ``folder/<i>.png`` of concepts that exist in words alone, drawn by the base, one a prompt.

    A folder appears when all its images are there; folders that exist are kept, so that a stopped run goes on. The
    noise depends on the concept's name and the image's number.

    Returns:
        The folders, those that were there too.
    """
    for concept in tqdm(concepts, desc="the base draws", unit="concept"):
        if concept.folder.exists():
            continue
        seeds = [seed_of(concept.name, i) for i in range(len(concept.prompts))]
        part = concept.folder.with_name(f".{concept.folder.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(draw_prompts(backbone, concept.prompts, seeds, sampling)):
            save_image(image, part / f"{i}.png")
        part.rename(concept.folder)
    return [concept.folder for concept in concepts]
