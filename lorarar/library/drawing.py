"""Drawing: what a base model does with each LoRA, for thumbnails, a search by images and similar behaviour.

* behaviour: the difference that the LoRA makes to the base's predictions from fixed noise, at a tenth of the timesteps,
  for four fixed scenes with the LoRA's trigger words; averaged to 8 x 8 places, each scene of length 1.
* look: statistics of the latents of drawn images, which the base's own encoder gives: means and deviations of the
  channels, and their means in the four quarters of an image. Images that no LoRA drew have it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from lorarar.datasets import list_images, load_images, to_bytes
from lorarar.diffusion import (
    SAMPLING,
    Backbone,
    Sampling,
    adapted,
    adapted_encoders,
    denoiser_part,
    load_backbone,
    sample_loras,
    starting_latents,
)
from lorarar.library.entries import Filter, Hit
from lorarar.library.fingerprints import Vector
from lorarar.library.search import nearest
from lorarar.library.thumbnails import encode_thumbnail
from lorarar.lora import LoRA
from lorarar.storage import track

if TYPE_CHECKING:
    from lorarar.library.index import Library

_SCENES = ("a cat", "a house", "a star", "a mug")
_TIME = 0.1  # of all timesteps
_PLACES = 8  # a side
_SEEDS = (0, 1)  # of the images of each LoRA
_TOGETHER = 8  # LoRAs in one batch


def draw_entries(
    library: Library,
    base: str | Path,
    *,
    prompt: str = "",
    where: Filter | None = None,
    sampling: Sampling = SAMPLING,
    device: str = "auto",
) -> int:
    """Draw images with each LoRA that has none yet; keep a thumbnail and the fingerprints "behaviour" and "look".

    Args:
        library: The library.
        base: The base model, a folder or a hub id.
        prompt: Prompt of all images; "" takes the trigger words of each LoRA.
        where: Conditions on the entries, which must be for this base.
        sampling: Steps and guidance.
        device: Where to compute.

    Returns:
        The number of LoRAs that were drawn.

    Raises:
        FileNotFoundError: There is no base model.
        ValueError: A LoRA does not fit the base.
    """
    drawn = {number for ids, _ in library.vectors("look") for number in ids.tolist()}
    left = [entry for entry in library.entries(where) if entry.id not in drawn]
    if not left:
        return 0
    backbone, count = load_backbone(base, device=device), 0
    for start in track(range(0, len(left), _TOGETHER), "draw", unit="batches"):
        read = [(entry, lora) for entry in left[start : start + _TOGETHER] if (lora := library.read(entry)) is not None]
        loras, triggers = [lora for _, lora in read], [", ".join(entry.triggers) for entry, _ in read]
        images = sample_loras(backbone, loras, [prompt or words for words in triggers], _SEEDS, sampling)
        behaviours = measure_behaviour(backbone, loras, triggers)
        with library.transaction():
            for (entry, _), some, behaviour in zip(read, images, behaviours, strict=True):
                library.set_vector(entry.id, "behaviour", behaviour)
                library.set_vector(entry.id, "look", look(backbone, some * 2 - 1))
                library.set_thumbnail(entry.id, encode_thumbnail(Image.fromarray(to_bytes(some[0]))))
        count += len(read)
    return count


def search_images(
    library: Library,
    images: Sequence[str | Path],
    base: str | Path,
    *,
    where: Filter | None = None,
    count: int = 10,
    device: str = "auto",
) -> list[Hit]:
    """Return the entries whose drawn images look most like some images, by the negative distance of their looks.

    Args:
        library: The library, whose entries `draw_entries` has drawn.
        images: Image files, or folders of images.
        base: The base model that drew the entries.
        where: Conditions on the entries.
        count: Number of entries.
        device: Where to compute.

    Raises:
        FileNotFoundError: There are no images, or no base model.
        ValueError: A file is not a readable image.
    """
    files = [file for path in map(Path, images) for file in (list_images(path) if path.is_dir() else [path])]
    if not files:
        raise FileNotFoundError(f"expected images in {', '.join(map(str, images))}, found none: give other folders")
    backbone = load_backbone(base, device=device)
    query = look(backbone, load_images(files, backbone.resolution))
    return library.hits(nearest(library.vectors("look", where), query, count, euclidean=True))


def look(backbone: Backbone, images: Tensor) -> Vector:
    """Return the mean statistics of images (n, 3, height, width), -1 to 1, in the latents of a base: (6 channels,)."""
    latents = backbone.encode_images(images).float().cpu()
    quarters = adaptive_avg_pool2d(latents, 2).flatten(1)
    parts = [latents.mean((2, 3)), latents.std((2, 3)), quarters]
    return torch.cat(parts, 1).mean(0).numpy().astype(np.float32)


def measure_behaviour(backbone: Backbone, loras: Sequence[LoRA], triggers: Sequence[str]) -> Vector:
    """Return the fingerprint "behaviour" of n LoRAs with their trigger words, (n, scenes * channels * 64)."""
    prompts = [f"{scene}, {words}" if words else scene for words in triggers for scene in _SCENES]
    difference = _predict(backbone, loras, prompts) - _predict(backbone, [None] * len(loras), prompts)
    scenes = normalize(adaptive_avg_pool2d(difference, _PLACES).flatten(1))
    vectors: Vector = scenes.unflatten(0, (len(loras), -1)).flatten(1).numpy()
    return vectors


@torch.no_grad()
def _predict(backbone: Backbone, loras: Sequence[LoRA | None], prompts: Sequence[str]) -> Tensor:
    """Return the base's predictions with each LoRA for its share of the prompts, on the CPU."""
    noise = starting_latents(backbone, range(len(_SCENES))).repeat(len(loras), 1, 1, 1)
    times = torch.full((len(noise),), round(_TIME * backbone.noise.steps), device=noise.device)
    with ExitStack() as stack:
        stack.enter_context(adapted_encoders(backbone, loras))
        stack.enter_context(adapted(backbone.denoiser, [lora and denoiser_part(lora) for lora in loras]))
        return backbone.predict(noise, times, backbone.encode_prompts(prompts)).float().cpu()
