"""Resizing: how an image of any shape becomes the input of a network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorarar.datasets import ImageError
from lorarar.evaluation.metrics.encoders.choice import RESIZES, Resize
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray
from lorarar.storage import unknown_name

MAX_ASPECT = 4  # longer over shorter side; `scale` fixes the shorter side, so a thin strip would become a huge input
_BATCH = 64
_PADDING = "black"


@dataclass(frozen=True)
class Canvas:
    """The input size and the normalisation of a network.

    Attributes:
        size: Length of the shorter side, in pixels.
        multiple: The sides are multiples of this number of pixels, such as the side of a patch.
        resize: ``scale`` keeps the whole image and its aspect ratio, so the input is not square; ``letterbox`` adds
            black bars to a square; ``crop`` keeps the middle square; ``stretch`` distorts.
        mean: Mean of each channel, 0 to 1, which is subtracted.
        std: Standard deviation of each channel, which divides.
        device: Device of the inputs.
    """

    size: int
    multiple: int = 1
    resize: Resize = "scale"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ValueError(unknown_name("a way of resizing", self.resize, RESIZES))

    def fit(self, image: Image.Image) -> Image.Image:
        """Return the image in the input size, as RGB.

        Raises:
            ImageError: The image is too long and thin for ``scale``.
        """
        image = image.convert("RGB")
        if self.resize == "scale":
            return _resized(image, self._scaled_size(image))
        if self.resize == "letterbox":
            return _letterboxed(image, self.size)
        if self.resize == "crop":
            image = _middle_square(image)
        return _resized(image, (self.size, self.size))

    def batches(self, images: Sequence[Image.Image]) -> Iterator[tuple[list[int], Tensor]]:
        """Yield inputs (n, 3, height, width) of equal shape, each with the indices of its images."""
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        fitted = [self.fit(image) for image in images]
        for index, image in enumerate(fitted):
            by_size[image.size].append(index)
        for indices in by_size.values():
            for start in range(0, len(indices), _BATCH):
                batch = indices[start : start + _BATCH]
                yield batch, self._input([fitted[index] for index in batch])

    def run(self, images: Sequence[Image.Image], apply: Callable[[Tensor], Tensor]) -> FeatureArray:
        """Return features (n, d) of images, in their order.

        Args:
            images: Images of any size.
            apply: Maps inputs (batch, 3, height, width) to features (batch, d).

        Raises:
            ValueError: There are no images.
            ImageError: An image is too long and thin for ``scale``.
        """
        if not images:
            raise ValueError("expected images, found none")
        rows: list[FeatureArray | None] = [None] * len(images)
        for indices, inputs in self.batches(images):
            with torch.inference_mode():
                features = apply(inputs).float().cpu().numpy()
            for index, row in zip(indices, features, strict=True):
                rows[index] = row
        return np.stack([row for row in rows if row is not None])

    def run_maps(
        self, images: Sequence[Image.Image], apply: Callable[[Tensor], Sequence[Tensor]]
    ) -> list[FeatureArray]:
        """Return, for each layer, the feature maps (n, c, h, w) of images.

        Args:
            images: Images whose inputs have one shape.
            apply: Maps inputs (batch, 3, height, width) to the maps (batch, c, h, w) of each layer.

        Raises:
            ValueError: There are no images, or their inputs have several shapes.
        """
        batches: list[list[FeatureArray]] = []
        for _, inputs in self.batches(images):
            with torch.inference_mode():
                batches.append([maps.float().cpu().numpy() for maps in apply(inputs)])
        if len({tuple(maps.shape[1:] for maps in layers) for layers in batches}) != 1:
            raise ValueError(
                "expected images whose inputs have one shape, found none or several shapes: pass the images of each "
                "size separately"
            )
        return [np.concatenate(layers) for layers in zip(*batches, strict=True)]

    def _scaled_size(self, image: Image.Image) -> tuple[int, int]:
        short, long = sorted(image.size)
        if long > MAX_ASPECT * short:
            raise ImageError(
                f"expected sides of at most 1 to {MAX_ASPECT}, found {image.width} x {image.height}: crop it, or "
                "resize by letterbox, crop or stretch"
            )
        width, height = (
            max(1, round(side * self.size / short / self.multiple)) * self.multiple
            for side in (image.width, image.height)
        )
        return width, height

    def _input(self, images: Sequence[Image.Image]) -> Tensor:
        stacked = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255
        inputs = (stacked - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)
        return inputs.to(self.device)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def _letterboxed(image: Image.Image, size: int) -> Image.Image:
    longest = max(image.size)
    inner = _resized(image, (max(1, round(image.width * size / longest)), max(1, round(image.height * size / longest))))
    ground = Image.new("RGB", (size, size), _PADDING)
    ground.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
    return ground


def _middle_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
