"""Examples: analogies a : a' = b : b' as a base and a router see them.

A base sees an analogy in one of two layouts. "images": a, a' and b are three condition images, b' is the target.
"grid": the condition is one image of a, a', b, b in two rows and the target one of a, a', b, b', as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorarar.datasets import load_images
from lorarar.diffusion import Backbone
from lorarar.evaluation.metrics import encoders
from lorarar.storage import track

Layout = Literal["images", "grid"]
ROLES = ("before", "after", "image", "target")
_BATCH = 64


@dataclass(frozen=True)
class Examples:
    """n analogies.

    Attributes:
        target: Latents of the target, (n, channels, h, w).
        condition: Latents of the condition images, (n, images, channels, h, w).
        features: Features of what the router sees, (n, images, width).
        tasks: Number of each analogy's transformation, (n,).
        names: Names of the transformations.
    """

    target: Tensor
    condition: Tensor
    features: Tensor
    tasks: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.target)


def arrange(images: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return the target and the condition images of analogies.

    Args:
        images: a, a', b and b', (n, 4, 3, height, width).
        layout: How the base sees them.

    Returns:
        The targets, (n, 3, height, width), and the conditions, (n, k, 3, height, width); twice the height and width in
        a grid.
    """
    if layout == "images":
        return images[:, 3], images[:, :3]
    return grid(images), grid(images[:, [0, 1, 2, 2]])[:, None]


def grid(images: Tensor) -> Tensor:
    """Return four images each, (n, 4, 3, height, width), as grids of two rows, (n, 3, 2 height, 2 width)."""
    rows = torch.cat([images[:, 0::2], images[:, 1::2]], dim=-1)  # (n, 2 rows, 3, height, 2 width)
    return torch.cat([rows[:, 0], rows[:, 1]], dim=-2)


def answers(images: Tensor, layout: Layout) -> Tensor:
    """Return the target's share of sampled images, (n, 3, height, width): of a grid, the last quarter."""
    if layout == "images":
        return images
    height, width = (side // 2 for side in images.shape[-2:])
    return images[..., height:, width:]


def encode_condition(backbone: Backbone, images: Tensor, layout: Layout) -> Tensor:
    """Return the condition's latents of a, a' and b, (n, 3, 3, height, width), -1 to 1: (n, k, channels, h, w)."""
    condition = arrange(torch.cat([images, images[:, 2:]], dim=1), layout)[1]
    latents: Tensor = backbone.encode_images(condition.flatten(0, 1)).unflatten(0, condition.shape[:2])
    return latents


def router_features(encoder: encoders.VisionEncoder, images: Tensor, *, as_grid: bool) -> Tensor:
    """Return features of a, a' and b, (n, 3, 3, height, width), -1 to 1: (n, 3, width), or of their grid (n, 1, width).

    The images are encoded one by one, as in the paper; the grid of them is its ablation.
    """
    seen = grid(images[:, [0, 1, 2, 2]])[:, None] if as_grid else images
    pixels = ((seen.flatten(0, 1) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    pictures = [Image.fromarray(np.ascontiguousarray(image)) for image in pixels]
    features: Tensor = torch.from_numpy(encoder.encode_images(pictures)).unflatten(0, seen.shape[:2])
    return features


def encode_examples(
    backbone: Backbone,
    encoder: encoders.VisionEncoder,
    images: Tensor,
    tasks: Sequence[str],
    *,
    layout: Layout,
    as_grid: bool = False,
) -> Examples:
    """Encode analogies.

    Args:
        backbone: The editing base.
        encoder: The router's encoder.
        images: a, a', b and b', (n, 4, 3, height, width) bytes.
        tasks: Name of each analogy's transformation.
        layout: How the base sees them.
        as_grid: Whether the router sees one grid instead of three images.
    """
    names = tuple(dict.fromkeys(tasks))
    targets, conditions, features = [], [], []
    for part in track(images.split(_BATCH), "encode analogies"):
        pixels = part.float() / 127.5 - 1
        target, _ = arrange(pixels, layout)
        targets.append(backbone.encode_images(target))
        conditions.append(encode_condition(backbone, pixels[:, :3], layout))
        features.append(router_features(encoder, pixels[:, :3], as_grid=as_grid))
    numbers = torch.tensor([names.index(task) for task in tasks])
    return Examples(torch.cat(targets), torch.cat(conditions), torch.cat(features), numbers, names)


def folder_examples(folder: Path, size: int) -> tuple[Tensor, list[str]]:
    """Read the analogies of a folder, `TASK/NAME/before.png`, `after.png`, `image.png` and `target.png`.

    Args:
        folder: The folder.
        size: Width and height to bring the images to, pixels.

    Returns:
        Images (n, 4, 3, size, size), bytes, and the name of each analogy's task.

    Raises:
        FileNotFoundError: There is no analogy, or an image of one is missing.
        ImageError: An image cannot be read.
    """
    members = sorted(path for path in folder.glob("*/*") if path.is_dir())
    missing = [m / f"{role}.png" for m in members for role in ROLES if not (m / f"{role}.png").is_file()]
    if missing or not members:
        raise FileNotFoundError(
            f"expected TASK/NAME/{{{','.join(ROLES)}}}.png in {folder}, found "
            f"{f'no {missing[0]}' if missing else 'no such folder'}: add it, or name another folder"
        )
    paths = tuple(m / f"{role}.png" for m in members for role in ROLES)
    images = ((load_images(paths, size) + 1) * 127.5).round().byte()
    return images.unflatten(0, (-1, len(ROLES))), [m.parent.name for m in members]
