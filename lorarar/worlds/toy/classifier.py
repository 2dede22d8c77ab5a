"""Attribute classifier: a small network that recognises all eight attributes of an image.

It is a measuring instrument: it is trained on renders alone, never on generated images, and never on a validation or
test subject or style.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from lorarar.worlds.toy.attributes import ATTRIBUTES, CONTENT_ATTRIBUTES, truth
from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.world import toy_world


class AttributeClassifier(nn.Module):
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

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return logits, one tensor (n, values) for each attribute in the order of `ATTRIBUTES`."""
        logits: Tensor = self.heads(self.trunk(images))
        return logits.split(list(ATTRIBUTES.values()), dim=1)  # type: ignore[no-any-return]  # torch: not typed

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """Return the attribute values of images (n, 3, 32, 32), -1 to 1: (n, 8) integers."""
        return torch.stack([logits.argmax(1) for logits in self(images)], dim=1)


def load_classifier(path: Path) -> AttributeClassifier:
    """Load a classifier from its file, ready to use."""
    classifier = AttributeClassifier()
    classifier.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    return classifier.eval()


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


def to_tensor(images: list[NDArray[np.uint8]]) -> Tensor:
    """Return images (32, 32, 3), 0 to 255, as one tensor (n, 3, 32, 32), -1 to 1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def sample_renders(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Render training and base subjects in training and base styles.

    Returns:
        Images (count, 3, 32, 32), -1 to 1, and their attributes (count, 8).
    """
    random = np.random.default_rng(seed)
    subjects = toy_world().subjects["base"] + toy_world().subjects["train"]
    styles = toy_world().styles["base"] + toy_world().styles["train"]
    pairs = [(subjects[random.integers(len(subjects))], styles[random.integers(len(styles))]) for _ in range(count)]
    images = [render(subject, style, int(random.integers(2**31))) for subject, style in pairs]
    return to_tensor(images), torch.tensor([truth(*pair) for pair in pairs])


class ClassifierTraining(lightning.LightningModule):
    """Training by cross-entropy on all heads, on renders with noise, blur and a shift of brightness."""

    def __init__(self, *, seed: int, steps: int, batch: int, learning_rate: float, renders: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.seed, self.steps, self.batch, self.learning_rate = seed, steps, batch, learning_rate
        self.classifier = AttributeClassifier()
        self.images, self.attributes = sample_renders(renders, seed)

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step)."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)  # dropout has no generator of its own
        chosen = torch.randint(len(self.images), (self.batch,), generator=random)
        images = disturb(self.images[chosen], random).to(self.device)
        true = self.attributes[chosen].to(self.device)
        losses = [nn.functional.cross_entropy(logits, true[:, i]) for i, logits in enumerate(self.classifier(images))]
        loss = torch.stack(losses).mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of its rate."""
        optimiser = torch.optim.AdamW(self.classifier.parameters(), self.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def disturb(images: Tensor, random: torch.Generator) -> Tensor:
    """Add a little noise, blur and a shift of brightness, as a diffusion model changes details."""
    count = len(images)
    blurred = nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    share = torch.rand(count, 1, 1, 1, generator=random) * 0.6
    noise = torch.randn(images.shape, generator=random) * torch.rand(count, 1, 1, 1, generator=random) * 0.15
    shift = (torch.rand(count, 3, 1, 1, generator=random) - 0.5) * 0.2
    return (images * (1 - share) + blurred * share + noise + shift).clamp(-1, 1)
