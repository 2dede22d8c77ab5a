"""World as the stages see it: what is drawn, how it is captioned, and how a classifier scores it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import cycle, islice, product
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorarar.datasets import Pair

RenderSet = Literal["base", "known", "test"]


class Render(NamedTuple):
    """An image to draw: a content in a style. The seed decides its jitter."""

    content: Any
    style: Any
    seed: int


class World(Protocol):
    """World of images with a known truth.

    Contents and styles are the world's own hashable values.

    Attributes:
        name: Name of the world in configurations and classifier files.
        size: Width and height of images, pixels.
        prompt_length: Tokens in a prompt, start and end included.
    """

    name: str
    size: int
    prompt_length: int

    def vocabulary(self) -> list[str]:
        """Return every word of captions and prompts, sorted."""
        ...

    def plan(self, part: RenderSet, count: int, seed: int) -> list[Render]:
        """Return `count` images to draw.

        Args:
            part: "base", what the base may see; "known", what the classifier and the autoencoder may see: the base's
                and the training split's contents and styles; "test", every content of the test split in every style.
            count: Number of images.
            seed: Seed of the choice.
        """
        ...

    def render(self, content: Any, style: Any, seed: int) -> NDArray[np.uint8]:
        """Return an image (size, size, 3), 0 to 255, a function of the arguments."""
        ...

    def caption(self, content: Any, style: Any, random: np.random.Generator) -> str:
        """Return a caption for pre-training, one of several forms."""
        ...

    def full_caption(self, content: Any, style: Any) -> str:
        """Return the caption that says most."""
        ...

    def truth(self, content: Any, style: Any) -> tuple[int, ...]:
        """Return what a classifier should read from an image; the category comes first."""
        ...

    def members(self, pair: Pair) -> tuple[Any, Any]:
        """Return the content and the style of a pair of concepts."""
        ...

    def new_classifier(self) -> WorldClassifier:
        """Return an untrained classifier."""
        ...


class WorldClassifier(nn.Module, ABC):
    """Classifier of a world's images."""

    @property
    @abstractmethod
    def world(self) -> World:
        """The world."""

    @abstractmethod
    def loss(self, images: Tensor, true: Tensor) -> Tensor:
        """Return the training loss of images (n, 3, size, size), -1 to 1, with truths (n, values)."""

    @abstractmethod
    def finish(self) -> None:
        """Compute what follows from the trained weights, such as prototypes."""

    @abstractmethod
    def read(self, images: Tensor) -> Tensor:
        """Return what images (n, 3, size, size), -1 to 1, show: (n, values) integers, as `World.truth`."""

    @abstractmethod
    def score(self, images: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Return scores (n,), 0 to 1, by name; "content", "style", "joint" and "strict" are among them."""

    @abstractmethod
    def facts(self, images: Tensor, true: Tensor) -> dict[str, Any]:
        """Return accuracies and further facts for the card, on test renders."""


def to_tensor(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return images (size, size, 3), 0 to 255, as one tensor (n, 3, size, size), -1 to 1."""
    return from_bytes(stack_images(images))


def stack_images(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return images (size, size, 3) as one tensor (n, 3, size, size) of the same bytes."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def crossed_renders(contents: Iterable[Any], styles: Iterable[Any], count: int) -> list[Render]:
    """Return `count` images of every content in every style in turn; the seed counts the rounds."""
    pairs = list(product(contents, styles))
    return [Render(*pair, i // len(pairs)) for i, pair in enumerate(islice(cycle(pairs), count))]


def from_bytes(images: Tensor) -> Tensor:
    """Return bytes, 0 to 255, as float32, -1 to 1."""
    return images.float() / 127.5 - 1
