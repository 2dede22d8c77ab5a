"""Pixel statistics: an encoder without a network, as a baseline for the other encoders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from lorarar.evaluation.metrics.encoders.choice import Resize
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray
from lorarar.evaluation.metrics.encoders.resizing import Canvas

_SIZE, _LEVELS = 32, 4
# Its hash stands for the weights: another text would make caches and recorded hashes invalid.
_DEFINITION = f"square roots of a joint colour histogram, {_LEVELS} levels a channel, {_SIZE} pixels"


@dataclass(frozen=True)
class PixelStatistics:
    """An encoder by colours: features are a joint colour histogram, maps are the colours and their differences."""

    canvas: Canvas
    name: str = "pixels"
    sha256: str = hashlib.sha256(_DEFINITION.encode()).hexdigest()

    @property
    def resize(self) -> str:
        """How images are brought to 32 pixels."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> FeatureArray:
        """Return the square roots of the shares of 64 colours (n, 64).

        The cosine of two rows is then the Bhattacharyya coefficient of their histograms: 1 for equal shares, 0 for
        images without a common colour.
        """
        return self.canvas.run(images, _root_histogram)

    def feature_maps(self, images: Sequence[Image.Image]) -> list[FeatureArray]:
        """Return one layer (n, 9, 32, 32): the colours, and their differences from the left and the upper pixel."""
        return self.canvas.run_maps(images, _colours_and_differences)


def load_pixels(resize: Resize) -> PixelStatistics:
    """Return the encoder; it has no weights."""
    return PixelStatistics(Canvas(_SIZE, resize=resize, mean=(0.0,) * 3, std=(1.0,) * 3))


def _root_histogram(inputs: Tensor) -> Tensor:
    """Map inputs (n, 3, height, width) in 0 to 1 to (n, 64)."""
    level = (inputs * _LEVELS).long().clamp(0, _LEVELS - 1)
    colour = (level[:, 0] * _LEVELS + level[:, 1]) * _LEVELS + level[:, 2]
    shares = torch.nn.functional.one_hot(colour.flatten(1), _LEVELS**3).float().mean(1)
    return shares.sqrt()


def _colours_and_differences(inputs: Tensor) -> list[Tensor]:
    to_left, to_top = (inputs - inputs.roll(1, axis) for axis in (3, 2))
    return [torch.cat([inputs, to_left, to_top], dim=1)]
