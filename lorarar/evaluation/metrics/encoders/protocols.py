"""Protocols of encoders: every encoder encodes images; some also encode texts, give feature maps, or can do more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FeatureArray = NDArray[np.float32]


@runtime_checkable
class VisionEncoder(Protocol):
    """An encoder of images."""

    @property
    def name(self) -> str:
        """Name by which the encoder is loaded."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the weights: two encoders with the same hash and the same resizing give the same features."""
        ...

    @property
    def resize(self) -> str:
        """How images are brought to the size of the encoder, see `lorarar.evaluation.metrics.encoders.resizing`."""
        ...

    def encode_images(self, images: Sequence[Image.Image]) -> FeatureArray:
        """Return features (n, d) of images, in their order; the rows are not normalised."""
        ...


@runtime_checkable
class TextEncoder(VisionEncoder, Protocol):
    """An encoder that maps texts and images to one space."""

    def encode_texts(self, texts: Sequence[str]) -> FeatureArray:
        """Return features (n, d) of texts."""
        ...


@runtime_checkable
class MapEncoder(VisionEncoder, Protocol):
    """An encoder with feature maps."""

    def feature_maps(self, images: Sequence[Image.Image]) -> list[FeatureArray]:
        """Return, for each layer, the feature maps (n, c, h, w) of images of one size."""
        ...


@runtime_checkable
class LimitedTextEncoder(TextEncoder, Protocol):
    """An encoder of texts up to a length."""

    @property
    def longest_text(self) -> int:
        """Tokens that a text may have; the others are cut off."""
        ...

    def are_cut(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether it is longer than that."""
        ...


@runtime_checkable
class SpecialisedEncoder(VisionEncoder, Protocol):
    """An encoder that knows images of one sort alone."""

    def are_unlike(self, rows: FeatureArray) -> NDArray[np.bool_]:
        """Tell of each row of features (n, d) whether its image is of another sort: (n,)."""
        ...


@runtime_checkable
class MovableEncoder(VisionEncoder, Protocol):
    """An encoder that can compute on an accelerator."""

    def to(self, device: str) -> Self:
        """Return the encoder on a device."""
        ...
