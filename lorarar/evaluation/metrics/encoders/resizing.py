"""How an image of any shape becomes a network's input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lorarar.datasets import ImageError

Resize = Literal["scale", "letterbox", "crop", "stretch"]
RESIZES: tuple[Resize, ...] = get_args(Resize)
MAX_ASPECT = 4  # longer over shorter side: beyond it an image scaled by its shorter side would grow without bound
_BATCH = 64
_PADDING = "black"
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Canvas:
    """The input that a network wants.

    Attributes:
        size: pixels of the (shorter) side.
        multiple: sides are multiples of this, as patches are.
        resize: ``scale`` keeps the whole image and its aspect ratio, so that the input is as oblong as the image;
            ``letterbox`` does with black bars in a square; ``crop`` keeps the middle square; ``stretch`` distorts.
        mean, std: of each channel, 0 to 1, which are subtracted and divided by.
    """

    size: int
    multiple: int = 1
    resize: Resize = "scale"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ValueError(f"expected resize to be one of {list(RESIZES)}, found {self.resize!r}")

    def fit(self, image: Image.Image) -> Image.Image:
        """The image in the input's size, RGB.

        Raises:
            ImageError: it is too oblong to be scaled.
        """
        image = image.convert("RGB")
        square = (self.size, self.size)
        if self.resize == "scale":
            return _resized(image, self._scaled(image))
        if self.resize == "letterbox":
            return _letterboxed(image, self.size)
        if self.resize == "crop":
            image = _middle(image)
        return _resized(image, square)

    def batches(self, images: Sequence[Image.Image]) -> Iterator[tuple[list[int], Tensor]]:
        """Inputs (n, 3, height, width) of equal shape, each with the places of its images."""
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        fitted = [self.fit(image) for image in images]
        for place, image in enumerate(fitted):
            by_size[image.size].append(place)
        for places in by_size.values():
            for start in range(0, len(places), _BATCH):
                chosen = places[start : start + _BATCH]
                yield chosen, self._input([fitted[place] for place in chosen])

    def run(self, images: Sequence[Image.Image], apply: Callable[[Tensor], Tensor]) -> Array:
        """Features (n, d) of images, in their order; `apply` maps inputs to (batch, d).

        Raises:
            ValueError: no images.
            ImageError: one is too oblong to be scaled.
        """
        if not images:
            raise ValueError("expected images, found none")
        rows: list[Array | None] = [None] * len(images)
        for places, inputs in self.batches(images):
            with torch.inference_mode():
                found = apply(inputs).float().cpu().numpy()
            for place, row in zip(places, found, strict=True):
                rows[place] = row
        return np.stack([row for row in rows if row is not None])

    def run_maps(
        self, images: Sequence[Image.Image], apply: Callable[[Tensor], Sequence[Tensor]]
    ) -> list[NDArray[np.float32]]:
        """Feature maps of images of equal shape: for each layer (n, c, h, w).

        Raises:
            ValueError: no images, or inputs of several shapes.
        """
        found: list[list[Array]] = []
        for _, inputs in self.batches(images):
            with torch.inference_mode():
                found.append([maps.float().cpu().numpy() for maps in apply(inputs)])
        if len({tuple(maps.shape[1:] for maps in layers) for layers in found}) != 1:
            raise ValueError("expected images whose inputs have one shape: give those of each size by themselves")
        return [np.concatenate(layers) for layers in zip(*found, strict=True)]

    def _scaled(self, image: Image.Image) -> tuple[int, int]:
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
        return (stacked - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def _letterboxed(image: Image.Image, size: int) -> Image.Image:
    longest = max(image.size)
    inner = _resized(image, (max(1, round(image.width * size / longest)), max(1, round(image.height * size / longest))))
    ground = Image.new("RGB", (size, size), _PADDING)
    ground.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
    return ground


def _middle(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
