"""Samples of a base in training: a sheet of images and how many show the right category, content and style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lorarar.datasets import save_image, tile_images
from lorarar.diffusion import SAMPLING, Backbone, sample_batches
from lorarar.storage import json_line, say
from lorarar.worlds.stages.base import BaseTraining
from lorarar.worlds.stages.classifier import load_classifier
from lorarar.worlds.stages.world import World, WorldClassifier

_COLUMNS = 12
_BATCH = 32


def sample_base(backbone: Backbone, world: World, count: int, seed: int = 0) -> Tensor:
    """Sample the base on full captions of its own contents and styles: images (count, 3, size, size), 0 to 1."""
    prompts = [world.full_caption(content, style) for content, style, _ in world.plan("base", count, seed)]
    parts = sample_batches(backbone, [None] * count, prompts, [seed], SAMPLING, batch=_BATCH)
    return torch.cat([part[:, 0] for part in parts]).clamp(0, 1)


@torch.no_grad()
def score_base(images: Tensor, classifier: WorldClassifier, seed: int = 0) -> dict[str, float]:
    """Return the mean scores of what `sample_base` drew.

    "category" among them says how often the category is right, whatever else is.
    """
    plan = classifier.world.plan("base", len(images), seed)
    true = torch.tensor([classifier.world.truth(content, style) for content, style, _ in plan])
    scores = classifier.score(images * 2 - 1, true)
    scores |= {"category": (classifier.read(images * 2 - 1)[:, 0] == true[:, 0]).float()}
    return {name: round(float(values.mean()), 4) for name, values in scores.items()}


class Samples(Callback):
    """Callback that draws a sheet of samples every few steps, and appends their scores to `folder/samples.jsonl`.

    Args:
        classifier: File of the world's classifier; sheets are not scored before it exists.
        folder: Folder of the sheets.
        every: Steps between two sheets.
        count: Images on a sheet.
    """

    def __init__(self, classifier: Path, folder: Path, every: int, count: int = 96) -> None:
        self.classifier, self.folder, self.every, self.count = classifier, folder, every, count
        self._losses: list[float] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Sample and score, if this step's turn has come."""
        assert isinstance(pl_module, BaseTraining)
        self._losses.append(float(trainer.callback_metrics["loss"]))
        if trainer.global_step % self.every or trainer.global_rank:
            return
        losses, self._losses = self._losses, []
        with pl_module.averaged():
            images = sample_base(pl_module.backbone, pl_module.world, self.count)
        self.folder.mkdir(parents=True, exist_ok=True)
        save_image(tile_images(images, _COLUMNS), self.folder / f"{trainer.global_step:06d}.png")
        line = {"step": trainer.global_step, "loss": round(sum(losses) / len(losses), 5)}
        if self.classifier.is_file():
            line |= score_base(images, load_classifier(self.classifier))
        with open(self.folder / "samples.jsonl", "a", encoding="utf-8") as file:
            file.write(json_line(line))
        say(str(line))
