"""Trainer: run a LightningModule for a number of steps, with checkpoints and resume.

Every module here computes its batch from (seed, step), so its loader only counts.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader, Dataset

from lorarar.storage import Precision


class DivergenceError(FloatingPointError):
    """Training diverged: a loss is not finite. The message names the step and what diverged, and says what to do."""


def check_finite(losses: Mapping[str, float], *, step: int, unit: str, advice: str) -> None:
    """Raise an error if training has diverged.

    Args:
        losses: Loss of each unit by name.
        step: Number of the step, for the message.
        unit: The sort of the units, in the plural, such as "pairs".
        advice: What to do about it, the end of the message.

    Raises:
        DivergenceError: A loss is not finite.
    """
    diverged = {name: loss for name, loss in losses.items() if not math.isfinite(loss)}
    if diverged:
        raise DivergenceError(
            f"expected finite losses, found {sorted({str(loss) for loss in diverged.values()})} at step {step} for "
            f"{unit} {list(diverged)}; the last checkpoint is kept: {advice}"
        )


class StepNumbers(Dataset[int]):
    """The numbers 0, 1, .. of steps or validation pairs."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        return index


def manual_optimiser(module: lightning.LightningModule) -> torch.optim.Optimizer:
    """Return the one optimiser of a module that optimises manually.

    Lightning wraps it; the wrapper has an optimiser's methods, but not its type.
    """
    return cast(torch.optim.Optimizer, module.optimizers())


def _prepare_process(devices: int) -> None:
    """Silence Lightning's tips and lists of devices; on the CPU give each of several processes one thread."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    if devices > 1 and not torch.cuda.is_available():
        torch.set_num_threads(1)


def fit(
    module: lightning.LightningModule,
    *,
    steps: int,
    folder: Path,
    accelerator: str = "auto",
    devices: int = 1,
    checkpoint_every: int = 500,
    callbacks: Sequence[Callback] = (),
    logger: Logger | None = None,
    datamodule: lightning.LightningDataModule | None = None,
    val_check_interval: int | None = None,
    precision: Precision = "32-true",
) -> lightning.Trainer:
    """Train for `steps` optimiser steps; resume from `folder/last.ckpt` if it exists.

    Args:
        module: The module to train.
        steps: Optimiser steps, those before a resumption included.
        folder: Folder for checkpoints.
        accelerator: "cpu", "cuda" or "mps", where the module's frozen base is; "auto" chooses the best device.
        devices: Processes. On the CPU each takes one thread, and gloo averages the gradients.
        checkpoint_every: Steps between checkpoints. A run that validates is saved after each validation instead.
        callbacks: Further callbacks.
        logger: Where to log.
        datamodule: Data of a module that validates; without it a loader counts steps.
        val_check_interval: Steps between validations; None for no validation.
        precision: Lightning's name of the precision.
    """
    _prepare_process(devices)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = lightning.Trainer(
        max_steps=steps,
        max_epochs=-1,
        devices=devices,
        accelerator=accelerator,
        precision=precision,
        strategy="ddp" if devices > 1 else "auto",
        use_distributed_sampler=False,
        logger=logger or False,
        callbacks=[
            _checkpoint(folder, checkpoint_every, validates=val_check_interval is not None),
            TQDMProgressBar(refresh_rate=10),
            *callbacks,
        ],
        enable_model_summary=False,
        log_every_n_steps=10,
        val_check_interval=val_check_interval,
        check_val_every_n_epoch=None,
        limit_val_batches=0 if val_check_interval is None else None,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    last = folder / "last.ckpt"
    loader = None if datamodule else DataLoader(StepNumbers(steps), batch_size=None)
    with _expected_warnings_ignored():
        checkpoint = last if last.exists() else None
        trainer.fit(module, loader, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    return trainer


def _checkpoint(folder: Path, every: int, *, validates: bool) -> ModelCheckpoint:
    """Return the callback that writes `folder/last.ckpt`.

    A run that validates is saved after each validation: resuming must know the best value and the patience so far.
    """
    return ModelCheckpoint(
        folder,
        filename="last",
        save_on_train_epoch_end=False,
        enable_version_counter=False,
        every_n_epochs=1 if validates else None,
        every_n_train_steps=None if validates else every,
    )


@contextmanager
def _expected_warnings_ignored() -> Iterator[None]:
    """Ignore Lightning's warnings about choices that are deliberate here."""
    with warnings.catch_warnings():
        # The loader only counts steps: workers would gain nothing, and resuming within an epoch is exact.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*resuming from a checkpoint that ended before.*")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # The frozen base stays in evaluation mode; the adapter in it is what learns.
        warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")
        # With manual optimisation a checkpoint holds the state after the step: resuming needs that state.
        warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
        # A run without val_check_interval does not validate, even if its module could.
        warnings.filterwarnings("ignore", message="You defined a `validation_step` but have no `val_dataloader`")
        # Lightning 2.6 with torch 2.13.
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.. is deprecated.*")
        yield
