"""What an encoder can do. Every encoder sees images; texts and feature maps are further abilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]


@runtime_checkable
class Encoder(Protocol):
    """Images to features."""

    @property
    def name(self) -> str:
        """What it is loaded by."""
        ...

    @property
    def sha256(self) -> str:
        """Of its weights: two encoders of one hash and one way of resizing give the same features."""
        ...

    @property
    def resize(self) -> str:
        """How images are brought to its size, see `lorarar.evaluation.metrics.encoders.resizing.Canvas`."""
        ...

    def encode_images(self, images: Sequence[Image.Image]) -> Array:
        """Features (n, d) of images, in their order; not normalised."""
        ...


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """An encoder whose texts lie in the space of its images."""

    def encode_texts(self, texts: Sequence[str]) -> Array:
        """Features (n, d) of texts."""
        ...


@runtime_checkable
class MapEncoder(Encoder, Protocol):
    """An encoder with feature maps."""

    def feature_maps(self, images: Sequence[Image.Image]) -> list[Array]:
        """For each layer the maps (n, c, h, w) of images of one size."""
        ...
