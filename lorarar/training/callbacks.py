"""What a merger's training keeps and shows: the best merger's file, histograms and image grids."""

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


def tracker(mode: WandbMode, folder: Path, config: Mapping[str, Any]) -> Logger | None:
    """A wandb logger that writes below ``folder``; offline needs no account and no network."""
    if mode == "disabled":
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return WandbLogger(
        project="lorarar", name=folder.name, save_dir=folder, offline=mode == "offline", config=dict(config)
    )


class BestMerger(Callback):
    """Writes the merger with the best validation value so far: weights and configuration only."""

    def __init__(self, path: Path, monitor: str, mode: Literal["min", "max"], metadata: Mapping[str, str]) -> None:
        self.path, self.monitor, self.mode, self.metadata = path, monitor, mode, dict(metadata)
        self.best: float | None = None

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the file if this is the best value."""
        value = float(trainer.callback_metrics[self.monitor])
        if not math.isfinite(value):
            return  # a diverged merger never replaces a good one
        if self.best is not None and (value >= self.best if self.mode == "min" else value <= self.best):
            return
        self.best = value
        found = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith("validation/")}
        facts = {name: f"{v:.6g}" for name, v in sorted(found.items())}
        header = self.metadata | {"step": str(trainer.global_step)} | facts
        save_merger(pl_module.merger, self.path, header, force=True)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """For resuming."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """For resuming."""
        self.best = state_dict["best"]


class Pictures(Callback):
    """After each validation: the scorer's grid as a PNG, and in wandb with histograms of coefficients by block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write and log."""
        grid = pl_module.validation_grid
        if grid is not None:
            save_image(grid, self.folder / "validation.png")
        if isinstance(trainer.logger, WandbLogger):
            media: dict[str, Any] = _histograms(pl_module)
            if grid is not None:
                media["validation/images"] = wandb.Image(to_bytes(grid))
            trainer.logger.experiment.log(media)


@torch.no_grad()
def _histograms(module: Any) -> dict[str, Any]:
    """Coefficients of the first validation pair, by side and block."""
    values: dict[str, list[torch.Tensor]] = {}
    coefficients = module.merger(module.data.validation_batch(0)[0].loras)
    for layer, vectors in coefficients.layers.items():
        for side, vector in zip(("content", "style"), vectors, strict=True):
            values.setdefault(f"coefficients/{side}/{block(layer)}", []).append(vector.reshape(-1))
    return {name: wandb.Histogram(torch.cat(parts).cpu().numpy()) for name, parts in values.items()}
