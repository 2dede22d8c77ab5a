"""Pixel statistics: what can be said without a network. A floor for every other encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from lorarar.evaluation.metrics.encoders.protocols import Array
from lorarar.evaluation.metrics.encoders.resizing import Canvas, Resize

_SIZE, _LEVELS = 32, 4
_KIND = f"square roots of a joint colour histogram, {_LEVELS} levels a channel, {_SIZE} pixels"


@dataclass(frozen=True)
class Pixels:
    """A joint colour histogram (64,); its maps are the colours themselves and their steps to the right and down."""

    canvas: Canvas
    name: str = "pixels"
    sha256: str = hashlib.sha256(_KIND.encode()).hexdigest()

    @property
    def resize(self) -> str:
        """How images are brought to 32 pixels."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> Array:
        """Square roots of the shares of colours (n, 64): the cosine of two is 1 for equal shares, 0 for disjoint."""
        return self.canvas.run(images, _histogram)

    def feature_maps(self, images: Sequence[Image.Image]) -> list[Array]:
        """One layer (n, 9, 32, 32)."""
        return self.canvas.run_maps(images, _steps)


def load_pixels(resize: Resize) -> Pixels:
    """The encoder; it has no weights."""
    return Pixels(Canvas(_SIZE, resize=resize, mean=(0.0,) * 3, std=(1.0,) * 3))


def _histogram(inputs: Tensor) -> Tensor:
    level = (inputs * _LEVELS).long().clamp(0, _LEVELS - 1)
    colour = (level[:, 0] * _LEVELS + level[:, 1]) * _LEVELS + level[:, 2]
    counts = torch.nn.functional.one_hot(colour.flatten(1), _LEVELS**3).float().mean(1)
    return counts.sqrt()


def _steps(inputs: Tensor) -> list[Tensor]:
    right, down = (inputs - inputs.roll(1, axis) for axis in (3, 2))
    return [torch.cat([inputs, right, down], dim=1)]
