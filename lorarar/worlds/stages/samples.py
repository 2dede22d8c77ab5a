"""Samples of a base in training: a sheet of images and how many show the right category, content and style."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image

from lorarar.datasets import tile_images
from lorarar.diffusion import Backbone
from lorarar.storage import json_line, say
from lorarar.worlds.stages.base import BaseTraining
from lorarar.worlds.stages.scoring import ScoredImages, generate_and_score
from lorarar.worlds.stages.world import RenderSet, World, WorldClassifier

_COLUMNS = 12


def score_base(
    backbone: Backbone, classifier: WorldClassifier, count: int, *, part: RenderSet = "base", seed: int = 0
) -> ScoredImages:
    """Sample the base on full captions of its own contents and styles, and score the images.

    The score "category" says whether the category is right, whatever else is.

    Args:
        backbone: The base.
        classifier: The classifier of its world.
        count: Number of captions, one image each.
        part: Set of renders that the captions describe.
        seed: Seed of their choice.
    """
    world: World = classifier.world
    plan = world.plan(part, count, seed)
    prompts = [world.full_caption(content, style) for content, style, _ in plan]
    truths = [world.truth(content, style) for content, style, _ in plan]
    scored = generate_and_score(backbone, classifier, [None] * count, prompts, truths, [seed])
    categories = classifier.read(scored.images[:, 0] * 2 - 1)[:, 0] == torch.tensor(truths)[:, 0]
    return ScoredImages(scored.images, scored.scores | {"category": categories.float()[:, None]})


class Samples(Callback):
    """Callback that draws a sheet of samples every few steps, and appends their scores to `folder/samples.jsonl`.

    Args:
        classifier: Classifier of the world.
        folder: Folder of the sheets.
        every: Steps between two sheets.
        count: Images on a sheet.
    """

    def __init__(self, classifier: WorldClassifier, folder: Path, every: int, count: int = 96) -> None:
        self.classifier, self.folder, self.every, self.count = classifier, folder, every, count
        self._start, self._losses = time.process_time(), [0.0]

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Sample and score, if this step's turn has come."""
        assert isinstance(pl_module, BaseTraining)
        self._losses.append(float(trainer.callback_metrics["loss"]))
        step = trainer.global_step
        if step % self.every or trainer.global_rank:
            return
        losses, self._losses = self._losses[-self.every :], []
        seconds = time.process_time() - self._start
        with pl_module.averaged():
            scored = score_base(pl_module.backbone, self.classifier, self.count)
        self.folder.mkdir(parents=True, exist_ok=True)
        grid = tile_images(scored.images[:, 0], _COLUMNS)
        Image.fromarray((grid.permute(1, 2, 0) * 255).round().byte().numpy()).save(self.folder / f"{step:06d}.png")
        means = {name: round(value, 4) for name, value in scored.means().items()}
        line = {"step": step, "loss": round(sum(losses) / len(losses), 5), "cpu_seconds": round(seconds), **means}
        with open(self.folder / "samples.jsonl", "a", encoding="utf-8") as file:
            file.write(json_line(line))
        say(f"step {step}: {means}")
        self._start = time.process_time()
