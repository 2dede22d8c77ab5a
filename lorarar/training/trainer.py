"""Trainer: run a LightningModule for a number of steps, with checkpoints and resume.

Every module here computes its batch from (seed, step), so its loader only counts.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader, Dataset

from lorarar.lora import pick_device
from lorarar.storage import Dtype, MissingPackage, Stage, progress, quiet_libraries, say_device
from lorarar.training.settings import Strategy

_EVERY = 10  # steps between two readings of the loss
# Lightning's names. Mixed precision keeps what is trained in fp32; in fp16 Lightning scales the loss.
_PRECISIONS: Mapping[Dtype, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


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


def adamw(
    parameters: Any, learning_rate: float, weight_decay: float, *, eight_bit: bool = False
) -> torch.optim.Optimizer:
    """Return AdamW.

    Args:
        parameters: Parameters, or groups of them.
        learning_rate: Rate of groups without one of their own.
        weight_decay: Weight decay.
        eight_bit: Whether its state has 8 bits a number instead of 32, in blocks with a scale each.

    Raises:
        MissingPackage: bitsandbytes, which has it in 8 bits, is not installed.
    """
    if not eight_bit:
        return torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise MissingPackage("bitsandbytes", "adam8bit", "recipe.eight_bit=true") from error
    optimiser: torch.optim.Optimizer = AdamW8bit(parameters, learning_rate, weight_decay=weight_decay)
    return optimiser


def is_first_process() -> bool:
    """Tell whether this is the process of a run that writes and speaks."""
    rank: int = getattr(rank_zero_only, "rank", 0)  # which Lightning reads from the environment
    return rank == 0


class _Steps(Callback):
    """Callback that counts a stage's steps, those before a resumption included, and shows the loss beside them."""

    def __init__(self, advance: Stage) -> None:
        self.advance = advance

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Count the steps of earlier runs."""
        self.advance(trainer.global_step - self.advance.done)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Count the step."""
        # Reading a loss from a GPU waits for it.
        is_read = trainer.global_step % _EVERY == 0 or trainer.global_step == self.advance.total
        loss = trainer.callback_metrics.get("loss") if is_read else None
        note = None if loss is None else f"loss {float(loss):.4g}"
        self.advance(trainer.global_step - self.advance.done, note=note)


class _LastValidation(Callback):
    """Callback that asks for a validation at the last step, wherever it falls between two others."""

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stop at the last step: Lightning validates before it stops early, and a checkpoint follows."""
        if trainer.global_step >= trainer.max_steps:
            trainer.should_stop = True


def _prepare_process(devices: int) -> None:
    """Silence Lightning's tips and lists of devices; on the CPU give each of several processes one thread."""
    quiet_libraries()
    if devices > 1 and not torch.cuda.is_available():
        torch.set_num_threads(1)


def fit(
    module: lightning.LightningModule,
    *,
    steps: int,
    folder: Path,
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: Strategy = "auto",
    checkpoint_every: int = 500,
    callbacks: Sequence[Callback] = (),
    logger: Logger | None = None,
    datamodule: lightning.LightningDataModule | None = None,
    val_check_interval: int | None = None,
    dtype: Dtype = "fp32",
    stage: str = "train",
) -> lightning.Trainer:
    """Train for `steps` optimiser steps; resume from `folder/last.ckpt` if it exists.

    Args:
        module: The module to train.
        steps: Optimiser steps, those before a resumption included.
        folder: Folder for checkpoints.
        accelerator: "cpu", "cuda" or "mps", where the module's frozen base is; "auto" chooses the best device.
        devices: Processes on each machine, one a device. On the CPU each takes one thread, and gloo averages the
            gradients.
        num_nodes: Machines.
        strategy: How processes share the work: "ddp", or "fsdp" for CUDA, which is not verified on more than one GPU;
            "auto" is ddp for several.
        checkpoint_every: Steps between checkpoints. A run that validates is saved after each validation instead.
        callbacks: Further callbacks.
        logger: Where to log.
        datamodule: Data of a module that validates; without it a loader counts steps.
        val_check_interval: Steps between validations, the last of which follows the last step; None for none.
        dtype: "fp32", or "bf16" or "fp16" for a base of that type; what is trained stays in fp32. In fp16, which needs
            CUDA, the loss is scaled.
        stage: Name of the work beside the progress bar.

    Raises:
        ValueError: The device does not have the dtype or the strategy.
    """
    _prepare_process(devices)
    accelerator = pick_device(accelerator).type
    _check_device(accelerator, dtype, strategy)
    say_device(accelerator, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "last.ckpt"
    loader = None if datamodule else DataLoader(StepNumbers(steps), batch_size=None)
    with progress(stage, steps, "steps") as advance, expected_warnings_ignored():
        trainer = lightning.Trainer(
            max_steps=steps,
            max_epochs=-1,
            devices=devices,
            num_nodes=num_nodes,
            accelerator=accelerator,
            precision=_PRECISIONS[dtype],
            strategy="ddp" if strategy == "auto" and devices * num_nodes > 1 else strategy,
            use_distributed_sampler=False,
            logger=logger or False,
            callbacks=[
                _checkpoint(folder, checkpoint_every, validates=val_check_interval is not None),
                _Steps(advance),
                *([] if val_check_interval is None else [_LastValidation()]),
                *callbacks,
            ],
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=_EVERY,
            val_check_interval=val_check_interval,
            check_val_every_n_epoch=None,
            limit_val_batches=0 if val_check_interval is None else None,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        checkpoint = last if last.exists() else None
        trainer.fit(module, loader, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    return trainer


def _check_device(accelerator: str, dtype: Dtype, strategy: Strategy) -> None:
    """Refuse what only CUDA has."""
    for name, value in (("dtype", dtype), ("strategy", strategy)):
        if accelerator != "cuda" and value in ("fp16", "fsdp"):
            raise ValueError(f"expected a CUDA device for `{name}={value!r}`, found {accelerator}: choose another")


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
def expected_warnings_ignored() -> Iterator[None]:
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
