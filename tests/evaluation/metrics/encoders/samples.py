"""Random images, and a comparison of features with tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    """Return an image of a size (width, height)."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


SQUARES = [noise((28, 28), seed) for seed in range(3)]


def is_near(features: NDArray[np.float32], expected: torch.Tensor) -> bool:
    return bool(np.allclose(features, expected.detach().numpy(), atol=1e-5))
