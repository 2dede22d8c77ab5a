"""Attribute classifier: a small network that recognises all eight attributes of an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lorarar.worlds.stages.world import World, WorldClassifier
from lorarar.worlds.toy.attributes import ATTRIBUTES, CONTENT_ATTRIBUTES
from lorarar.worlds.toy.definition import TOY


class AttributeClassifier(WorldClassifier):
    """Network that maps images (n, 3, 32, 32), -1 to 1, to logits for each attribute."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 32, 64, 96, 128)
        layers: list[nn.Module] = []
        for i in range(4):
            stride = 1 if i == 0 else 2
            layers += [
                nn.Conv2d(channels[i], channels[i + 1], 3, stride, 1, bias=False),
                nn.BatchNorm2d(channels[i + 1]),
                nn.GELU(),
            ]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.1))
        self.heads = nn.Linear(128 * 4 * 4, sum(ATTRIBUTES.values()))

    @property
    def world(self) -> World:
        """The toy world."""
        return TOY

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return logits, one tensor (n, values) for each attribute in the order of `ATTRIBUTES`."""
        logits: Tensor = self.heads(self.trunk(images))
        return logits.split(list(ATTRIBUTES.values()), dim=1)  # type: ignore[no-any-return]  # torch: not typed

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """Return the attribute values of images (n, 3, 32, 32), -1 to 1: (n, 8) integers."""
        return torch.stack([logits.argmax(1) for logits in self(images)], dim=1)

    def loss(self, images: Tensor, true: Tensor) -> Tensor:
        """Return the mean cross-entropy of the heads."""
        losses = [nn.functional.cross_entropy(logits, true[:, i]) for i, logits in enumerate(self(images))]
        return torch.stack(losses).mean()

    def finish(self) -> None:
        """Compute nothing: the heads are all."""

    def score(self, images: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Return the scores of `score` for the attributes read from images."""
        return score(self.read(images), true)

    def facts(self, images: Tensor, true: Tensor) -> dict[str, Any]:
        """Return the accuracy of each attribute, and the scores of guessing."""
        accuracy = (self.read(images) == true).float().mean(0).tolist()
        return {"accuracy_on_test_renders": dict(zip(ATTRIBUTES, accuracy, strict=True)), "chance": chance()}


CLASSIFIER_SCORES = ("content", "style", "joint", "strict", "content_without_category")  # of `score`


def score(recognised: Tensor, true: Tensor) -> dict[str, Tensor]:
    """Score images by their recognised and true attribute values, both (n, 8).

    Returns:
        Scores (n,), 0 to 1, by name: "content" and "style", the share of their attributes that are right; "joint", the
        smaller of the two; "strict", 1 where all eight are right; and "content_without_category", because the prompt
        already names the category.
    """
    right = (recognised == true).float()
    border = len(CONTENT_ATTRIBUTES)
    content, style = right[:, :border].mean(1), right[:, border:].mean(1)
    return {
        "content": content,
        "style": style,
        "joint": torch.minimum(content, style),
        "strict": right.prod(1),
        "content_without_category": right[:, 1:border].mean(1),
    }


def chance() -> dict[str, float]:
    """Return the mean scores of guessing each attribute at random."""
    inverse = [1 / values for values in ATTRIBUTES.values()]
    return {"content": sum(inverse[:4]) / 4, "style": sum(inverse[4:]) / 4}
