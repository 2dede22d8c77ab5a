"""Train any learned merger: a constant, the coefficients of one pair, or a hypernetwork."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from lorarar.diffusion import Backbone
from lorarar.lora import Coefficients, LoRA
from lorarar.mergers import LossWeights, weighted_total
from lorarar.mergers.optimised import MergerRecipe
from lorarar.training.callbacks import BestMerger, Pictures
from lorarar.training.pairs import PairBatch, PairData
from lorarar.training.targets import objective_terms
from lorarar.training.trainer import fit


class Merger(Protocol):
    """Any ``coefficients`` merger."""

    def __call__(self, loras: Sequence[LoRA]) -> Coefficients:
        """The coefficients of these LoRAs."""
        ...


class Scorer(Protocol):
    """Scores a merger by its images: metrics by name, and a grid of images (3, height, width), 0 to 1."""

    def __call__(self, merger: Merger) -> tuple[dict[str, float], Tensor]:
        """Generate and score."""
        ...


class MergerTraining(lightning.LightningModule):
    """A merger, a frozen backbone and the objective of arXiv 2412.05148, with a term on the combined prompt.

    Only the merger is in the state dict. The optimisation is manual because the adapted context must stay
    open through backward.

    Args:
        scorer: called at the end of every validation, where given.
    """

    def __init__(
        self,
        merger: nn.Module,
        backbone: Backbone,
        data: PairData,
        recipe: MergerRecipe,
        weights: LossWeights,
        scorer: Scorer | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.merger, self.recipe, self.weights = merger, recipe, weights
        self.backbone, self.data, self.scorer = backbone, data, scorer
        self.validation_grid: Tensor | None = None

    def training_step(self, batch: int, index: int) -> None:
        """One step on the pairs that belong to its number."""
        pairs = self.data.training_batch(self.global_step)
        optimiser = self.optimizers()
        optimiser.zero_grad()
        for group in optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.global_step)
        found = self.losses(pairs, backward=True)
        if not math.isfinite(found["loss"]):
            names = [pair.name for pair in pairs]
            raise FloatingPointError(
                f"the loss became {found['loss']} at step {self.global_step}, pairs {names}: the last checkpoint is "
                "kept; lower learning_rate, or leave these LoRAs out"
            )
        self.clip_gradients(optimiser, self.recipe.clip, "norm")
        optimiser.step()
        self.log_dict({f"train/{name}": value for name, value in found.items()})
        self.log("loss", found["loss"], prog_bar=True, logger=False)

    def losses(self, pairs: Sequence[PairBatch], *, backward: bool = False) -> dict[str, float]:
        """The objective's terms, each a mean over pairs; with ``backward``, gradients are left on the merger."""
        # The merger runs in float32 here as it does when files are merged, whatever the base runs in.
        with torch.autocast(self.device.type, enabled=False):
            coefficients = [self.merger(pair.loras) for pair in pairs]
        with objective_terms(self.backbone, pairs, coefficients, self.weights) as terms:
            total = weighted_total(self.weights, terms).mean()
            if backward:
                self.manual_backward(total)
        return {"loss": float(total.detach())} | {name: float(term.detach().mean()) for name, term in terms.items()}

    @torch.no_grad()
    def validation_step(self, batch: int, index: int) -> None:
        """The same terms on a validation pair."""
        found = self.losses(self.data.validation_batch(batch))
        self.log_dict({f"validation/{name}": value for name, value in found.items()}, batch_size=1)

    def on_validation_epoch_end(self) -> None:
        """Score the merger by its images."""
        if self.scorer is None:
            return
        metrics, grid = self.scorer(self.merger)
        self.log_dict({f"validation/{name}": value for name, value in metrics.items()}, prog_bar=True)
        self.validation_grid = grid

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on the merger."""
        return torch.optim.AdamW(
            self.merger.parameters(), self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )


def train_merger(
    module: MergerTraining,
    *,
    folder: Path,
    monitor: str,
    mode: Literal["min", "max"],
    validate_every: int,
    patience: int,
    metadata: Mapping[str, str],
    logger: Logger | None = None,
    precision: str = "32-true",
) -> Path:
    """Train until the recipe's steps are done or validation stops improving; resume from ``folder/last.ckpt``.

    Args:
        monitor: the validated value that chooses the merger, such as ``validation/loss``.
        validate_every: steps between validations, and between checkpoints.
        patience: validations without improvement before training stops.
        metadata: how the merger was made, for its file's header.

    Returns:
        ``folder/merger.safetensors``, the best merger on validation pairs.
    """
    path = folder / "merger.safetensors"
    fit(
        module,
        steps=module.recipe.steps,
        folder=folder,
        accelerator=module.backbone.device.type,
        checkpoint_every=validate_every,
        callbacks=[
            BestMerger(path, monitor, mode, metadata),
            Pictures(folder),
            EarlyStopping(monitor, patience=patience, mode=mode),
        ],
        logger=logger,
        datamodule=module.data,
        val_check_interval=validate_every,
        precision=precision,
    )
    return path
