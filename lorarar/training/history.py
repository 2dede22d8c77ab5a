"""History of a merger's training: losses, validated values and seconds, kept over resumptions, and their curve."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure

from lorarar.storage import atomic_write

_EVERY = 10  # steps between two readings of the loss, since reading one from a GPU waits for it


class History(Callback):
    """Callback that records a training.

    Attributes:
        monitor: Validated value that chooses the merger.
        losses: (step, training loss) of some steps.
        values: (step, validated value) of each validation.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.losses: list[tuple[int, float]] = []
        self.values: list[tuple[int, float]] = []
        self._seconds, self._start = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of training and validation, those before a resumption included."""
        return self._seconds + time.perf_counter() - self._start

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Record the loss."""
        if trainer.global_step % _EVERY == 0 or trainer.global_step == trainer.max_steps:
            self.losses.append((trainer.global_step, float(trainer.callback_metrics["loss"])))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Record the validated value."""
        self.values.append((trainer.global_step, float(trainer.callback_metrics[self.monitor])))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumption continues."""
        return {"losses": self.losses, "values": self.values, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue what a checkpoint holds."""
        self.losses, self.values = list(state_dict["losses"]), list(state_dict["values"])
        self._seconds, self._start = state_dict["seconds"], time.perf_counter()

    def draw(self, path: Path) -> None:
        """Write the curve of the training loss and of the validated value as a PNG."""
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, title, points in zip(
            panels, ("training loss", self.monitor), (self.losses, self.values), strict=True
        ):
            finite = [(step, value) for step, value in points if math.isfinite(value)]
            axes.plot([step for step, _ in finite], [value for _, value in finite], marker=".", color="#0072B2")
            axes.set_title(title, loc="left")
            axes.set_xlabel("step")
            axes.grid(color="#d1d9e0", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        with atomic_write(path, force=True) as temporary:
            figure.savefig(temporary, format="png", dpi=110)


def describe_seconds(seconds: float) -> str:
    """Return a time in the unit that suits it: "42 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
