"""Drawing: images of what each LoRA does, for thumbnails and for a search by images.

The fingerprint "look" is computed from the latents of the drawn images, which the base's own encoder gives: the means
and deviations of the channels, and their means in the four quarters of an image. It needs no other model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorarar.datasets import list_images, load_images, to_bytes
from lorarar.diffusion import SAMPLING, Backbone, Sampling, load_backbone, sample_loras
from lorarar.library.entries import Entry, Filter, Hit
from lorarar.library.fingerprints import Vector
from lorarar.library.search import nearest
from lorarar.library.thumbnails import encode_thumbnail
from lorarar.storage import track

if TYPE_CHECKING:
    from lorarar.library.index import Library

_TOGETHER = 8  # LoRAs in one batch


def draw_entries(
    library: Library,
    base: str | Path,
    *,
    prompt: str = "",
    seeds: Sequence[int] = (0, 1),
    where: Filter | None = None,
    sampling: Sampling = SAMPLING,
    device: str = "auto",
) -> int:
    """Draw images with each LoRA that has none yet; keep a thumbnail and the fingerprint "look".

    Args:
        library: The library.
        base: The base model, a folder or a hub id.
        prompt: Prompt of all images; "" takes the trigger words of each LoRA.
        seeds: Seeds of the images of each LoRA.
        where: Conditions on the entries, which must be for this base.
        sampling: Steps and guidance.
        device: Where to compute.

    Returns:
        The number of LoRAs that were drawn.

    Raises:
        FileNotFoundError: There is no base model.
        ValueError: A LoRA does not fit the base.
    """
    looked = {number for ids, _ in library.database.vectors("look") for number in ids.tolist()}
    left = [entry for entry in library.entries(where) if entry.id not in looked]
    if not left:
        return 0
    backbone, drawn = load_backbone(base, device=device), 0
    for entries in track(list(_batches(left)), "draw", unit="batches"):
        read = [(entry, lora) for entry in entries if (lora := library.read(entry)) is not None]
        prompts = [prompt or ", ".join(entry.triggers) for entry, _ in read]
        images = sample_loras(backbone, [lora for _, lora in read], prompts, seeds, sampling)
        with library.database.transaction():
            for (entry, _), some in zip(read, images, strict=True):
                library.database.set_vector(entry.id, "look", look(backbone, some * 2 - 1))
                library.database.set_thumbnail(entry.id, encode_thumbnail(Image.fromarray(to_bytes(some[0]))))
        drawn += len(read)
    return drawn


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
    query = look_of_files(images, base, device=device)
    return library.hits(nearest(library.database.vectors("look", where), query, count, euclidean=True))


def look(backbone: Backbone, images: Tensor) -> Vector:
    """Return the mean statistics of images (n, 3, height, width), -1 to 1, in the latents of a base: (6 channels,)."""
    latents = backbone.encode_images(images).float().cpu()
    quarters = torch.nn.functional.adaptive_avg_pool2d(latents, 2).flatten(1)
    parts = [latents.mean((2, 3)), latents.std((2, 3)), quarters]
    return torch.cat(parts, 1).mean(0).numpy().astype(np.float32)


def look_of_files(paths: Sequence[str | Path], base: str | Path, *, device: str = "auto") -> Vector:
    """Return the fingerprint "look" of image files and of the images in folders.

    Raises:
        FileNotFoundError: There are no images, or no base model.
        ValueError: A file is not a readable image.
    """
    files = [file for path in map(Path, paths) for file in (list_images(path) if path.is_dir() else [path])]
    if not files:
        raise FileNotFoundError(f"expected images in {', '.join(map(str, paths))}, found none: give other folders")
    backbone = load_backbone(base, device=device)
    return look(backbone, load_images(files, backbone.resolution))


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), _TOGETHER):
        yield entries[start : start + _TOGETHER]
