"""Callbacks of a merger's training: the best merger's file, histograms and image grids."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
import wandb
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, WandbLogger

from lorarar.datasets import save_image, to_bytes
from lorarar.hypernetwork import save_merger
from lorarar.lora import block
from lorarar.training.settings import WandbMode
from lorarar.training.trainer import is_first_process


def tracker(mode: WandbMode, folder: Path, config: Mapping[str, Any]) -> Logger | None:
    """Return a logger of Weights & Biases that writes below `folder`, or None where it is disabled.

    The mode "offline" needs neither an account nor a network.
    """
    if mode == "disabled" or not is_first_process():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    # Lightning's own call passes a deprecated setting, about which wandb warns.
    run = wandb.init(project="lorarar", name=folder.name, dir=folder, mode=mode, config=dict(config))
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbLogger(experiment=run)


class BestMerger(Callback):
    """Callback that writes the merger with the best validation value so far: weights and configuration only."""

    def __init__(self, path: Path, monitor: str, mode: Literal["min", "max"], metadata: Mapping[str, str]) -> None:
        self.path, self.monitor, self.mode, self.metadata = path, monitor, mode, dict(metadata)
        self.best: float | None = None
        self.step = 0

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the file if this is the best value."""
        value = float(trainer.callback_metrics[self.monitor])
        if not math.isfinite(value):
            return  # a diverged merger never replaces a good one
        if self.best is not None and (value >= self.best if self.mode == "min" else value <= self.best):
            return
        self.best, self.step = value, trainer.global_step
        facts = {
            name: f"{float(metric):.6g}"
            for name, metric in sorted(trainer.callback_metrics.items())
            if name.startswith("validation/")
        }
        if not trainer.is_global_zero:
            return
        header = self.metadata | {"step": str(trainer.global_step)} | facts
        save_merger(pl_module.merger, self.path, header, force=True)  # type: ignore[arg-type]  # a module of our own

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and its step, for resuming."""
        return {"best": self.best, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best value of a checkpoint."""
        self.best, self.step = state_dict["best"], state_dict.get("step", 0)


class ValidationImages(Callback):
    """Callback that writes the scorer's grid of images as a PNG after each validation.

    Weights & Biases gets the grid too, with histograms of the coefficients by block.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write and log the grid."""
        if not trainer.is_global_zero:
            return
        module: Any = pl_module  # a MergerTraining
        grid = module.validation_grid
        if grid is not None:
            save_image(grid, self.folder / "validation.png")
        if isinstance(trainer.logger, WandbLogger):
            media: dict[str, Any] = _histograms(module)
            if grid is not None:
                media["validation/images"] = wandb.Image(to_bytes(grid))
            trainer.logger.experiment.log(media)


@torch.no_grad()
def _histograms(module: Any) -> dict[str, Any]:
    """Return histograms of the coefficients of the first validation pair, by side and block."""
    values: dict[str, list[torch.Tensor]] = {}
    coefficients = module.merger(module.data.validation_batch(0)[0].loras)
    for layer, vectors in coefficients.layers.items():
        for side, vector in zip(("content", "style"), vectors, strict=True):
            values.setdefault(f"coefficients/{side}/{block(layer)}", []).append(vector.reshape(-1))
    arrays: dict[str, Any] = {name: torch.cat(parts).cpu().numpy() for name, parts in values.items()}
    return {name: wandb.Histogram(array) for name, array in arrays.items()}
