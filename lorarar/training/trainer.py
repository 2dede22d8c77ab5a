"""Run a LightningModule for a number of steps, with checkpoints and resume.

Every module here draws its batch as a function of (seed, step), so the loader only counts.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader


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
    precision: str = "32-true",
) -> lightning.Trainer:
    """Train for ``steps`` optimiser steps; go on from ``folder/last.ckpt`` if it exists.

    Args:
        accelerator: "cpu", "cuda" or "mps", where the module's frozen base is; "auto" is the best there is.
        devices: processes; on the CPU each takes one thread, and gradients are averaged by gloo.
        checkpoint_every: steps between checkpoints; a run that validates is saved after each validation instead.
        val_check_interval: steps between validations; None for no validation.
    """
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(
        logging.WARNING
    )  # no adverts, no lists of devices
    if devices > 1 and not torch.cuda.is_available():
        torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    # A run that validates is saved after each validation: resuming must know the best value and the patience so far.
    when = {"every_n_epochs": 1} if val_check_interval else {"every_n_train_steps": checkpoint_every}
    saver = ModelCheckpoint(
        folder, filename="last", save_on_train_epoch_end=False, enable_version_counter=False, **when
    )
    trainer = lightning.Trainer(
        max_steps=steps,
        max_epochs=-1,
        devices=devices,
        accelerator=accelerator,
        precision=precision,
        strategy="ddp" if devices > 1 else "auto",
        use_distributed_sampler=False,
        logger=logger or False,
        callbacks=[saver, TQDMProgressBar(refresh_rate=10), *callbacks],
        enable_model_summary=False,
        log_every_n_steps=10,
        val_check_interval=val_check_interval,
        check_val_every_n_epoch=None,
        limit_val_batches=0 if val_check_interval is None else None,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    last = folder / "last.ckpt"
    loader = None if datamodule else DataLoader(range(steps), batch_size=None)
    with _quiet():
        trainer.fit(
            module,
            train_dataloaders=loader,
            datamodule=datamodule,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    return trainer


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's warnings of what is meant to be so."""
    with warnings.catch_warnings():
        # The loader only counts steps: workers would gain nothing, and resuming within an epoch is exact.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*resuming from a checkpoint that ended before.*")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # The frozen base stays in eval mode; it is the adapter in it that learns.
        warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")
        # With manual optimisation checkpoints hold the state after the step: that is what resuming needs.
        warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
        # A run without val_check_interval does not validate, whatever its module could do.
        warnings.filterwarnings("ignore", message="You defined a `validation_step` but have no `val_dataloader`")
        # Lightning 2.6 with torch 2.13.
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.. is deprecated.*")
        yield
