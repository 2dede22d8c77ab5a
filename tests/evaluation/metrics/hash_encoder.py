"""An encoder of images and texts without a model: each input gets a random vector, seeded by its bytes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass
class HashEncoder:
    """Random features: equal inputs have equal features."""

    name: str = "hashes"
    sha256: str = "1"
    resize: str = "scale"

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        return np.stack([_vector(image.tobytes()) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([_vector(text.encode()) for text in texts])


def _vector(data: bytes) -> NDArray[np.float32]:
    return np.random.default_rng(zlib.crc32(data)).normal(size=8).astype(np.float32)
