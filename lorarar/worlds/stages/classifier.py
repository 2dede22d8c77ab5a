"""Training of a world's classifier.

A classifier is a measuring instrument: it is trained on renders alone, never on generated images, and never on a
validation or test content or style.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from lorarar.worlds.stages.recipes import StageRecipe
from lorarar.worlds.stages.world import WorldClassifier, from_bytes
from lorarar.worlds.table import world_named


def load_classifier(path: Path) -> WorldClassifier:
    """Load a classifier from its file, ready to use; the file names its world."""
    with safe_open(path, framework="pt") as file:
        name = (file.metadata() or {}).get("world", "toy")
    classifier = world_named(name).new_classifier()
    classifier.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    return classifier.eval()


class ClassifierTraining(lightning.LightningModule):
    """Training by the classifier's own loss, on renders with noise, blur and a shift of brightness.

    Args:
        recipe: How to train.
        classifier: The untrained classifier.
        images: Training set (n, 3, size, size), bytes.
        true: What the images show, (n, values).
    """

    def __init__(self, recipe: StageRecipe, classifier: WorldClassifier, images: Tensor, true: Tensor) -> None:
        super().__init__()
        self.recipe, self.classifier, self.images, self.true = recipe, classifier, images, true

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step)."""
        seed = self.recipe.seed * 1_000_003 + self.global_step
        random = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout has no generator of its own
        chosen = torch.randint(len(self.images), (self.recipe.batch,), generator=random)
        images = disturb(from_bytes(self.images[chosen]), random).to(self.device)
        loss = self.classifier.loss(images, self.true[chosen].to(self.device))
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of its rate."""
        rate, steps = self.recipe.learning_rate, self.recipe.steps
        optimiser = torch.optim.AdamW(self.classifier.parameters(), rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def disturb(images: Tensor, random: torch.Generator) -> Tensor:
    """Add a little noise, blur and a shift of brightness, as a diffusion model changes details."""
    count = len(images)
    blurred = nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    share = torch.rand(count, 1, 1, 1, generator=random) * 0.6
    noise = torch.randn(images.shape, generator=random) * torch.rand(count, 1, 1, 1, generator=random) * 0.15
    shift = (torch.rand(count, 3, 1, 1, generator=random) - 0.5) * 0.2
    return (images * (1 - share) + blurred * share + noise + shift).clamp(-1, 1)
