"""Training of any learned merger: a constant, the coefficients of one pair, or a hypernetwork."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from lorarar.diffusion import Backbone
from lorarar.mergers import LossWeights, weighted_total
from lorarar.mergers.optimised import MergerRecipe
from lorarar.storage import Dtype, say
from lorarar.training.callbacks import BestMerger, ValidationImages
from lorarar.training.history import History, describe_seconds
from lorarar.training.pairs import PairBatch, PairData, Predictor
from lorarar.training.settings import Strategy
from lorarar.training.targets import objective_terms
from lorarar.training.trained_range import state_range
from lorarar.training.trainer import DivergenceError, adamw, check_finite, fit, is_first_process, manual_optimiser

# Scores a merger by its images: metrics by name, and a grid of images (3, height, width), 0 to 1.
Scorer = Callable[[Predictor], tuple[dict[str, float], Tensor]]


class MergerTraining(lightning.LightningModule):
    """Training of a merger on a frozen backbone.

    The objective is that of arXiv 2412.05148, with further terms, see `lorarar.mergers.LossWeights`. The state dict
    holds the merger alone. The optimisation is manual because the adapted context must stay open through backward.

    Args:
        merger: A module that maps two LoRAs to their coefficients.
        backbone: The base.
        data: Training and validation pairs.
        recipe: How the merger is optimised.
        weights: Weights of the objective's terms.
        scorer: Function that scores the merger by its images at the end of every validation; None for no scores.
        accumulate: Parts in which a step's pairs are computed one after another, to save memory; the step is the same.
    """

    def __init__(
        self,
        merger: nn.Module,
        backbone: Backbone,
        data: PairData,
        recipe: MergerRecipe,
        weights: LossWeights,
        scorer: Scorer | None = None,
        accumulate: int = 1,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.merger, self.recipe, self.weights = merger, recipe, weights
        self.backbone, self.data, self.scorer, self.accumulate = backbone, data, scorer, accumulate
        self.validation_grid: Tensor | None = None

    def training_step(self, batch: int, index: int) -> None:
        """Take one step, on the pairs that belong to its number and to this process."""
        world = self.trainer.world_size
        pairs = self.data.training_batch(self.global_step, self.global_rank, world)
        optimiser = manual_optimiser(self)
        optimiser.zero_grad()
        for group in optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.global_step)
        losses: dict[str, float] = {}
        size = -(-len(pairs) // self.accumulate)
        for part in (pairs[start : start + size] for start in range(0, len(pairs), size)):
            for name, value in self.losses(part, backward=True, share=len(part) / len(pairs)).items():
                losses[name] = losses.get(name, 0.0) + value * len(part) / len(pairs)
        check_finite(
            {pair.name: losses["loss"] for pair in pairs},
            step=self.global_step,
            unit="pairs",
            advice="lower recipe.learning_rate, or leave these LoRAs out",
        )
        optimiser.step()
        self.log_dict({f"train/{name}": value for name, value in losses.items()}, sync_dist=world > 1)
        self.log("loss", losses["loss"], prog_bar=True, logger=False, sync_dist=world > 1)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient, whose scale in fp16 Lightning has taken out by now."""
        self.clip_gradients(optimizer, self.recipe.clip, "norm")

    def losses(self, pairs: Sequence[PairBatch], *, backward: bool = False, share: float = 1.0) -> dict[str, float]:
        """Return the objective's terms and their weighted sum "loss", each a mean over the pairs.

        Args:
            pairs: The pairs of a step.
            backward: Whether to leave gradients on the merger.
            share: Weight of the gradients.
        """
        # In float32 as when files are merged, whatever dtype the base computes in.
        with torch.autocast(self.device.type, enabled=False):
            coefficients = [self.merger(pair.loras) for pair in pairs]
        with objective_terms(self.backbone, pairs, coefficients, self.weights) as terms:
            total = weighted_total(self.weights, terms).mean()
            if backward:
                self.manual_backward(total * share)
        return {"loss": float(total.detach())} | {name: float(term.detach().mean()) for name, term in terms.items()}

    @torch.no_grad()
    def validation_step(self, batch: int, index: int) -> None:
        """Log the same terms of a validation pair."""
        losses = self.losses(self.data.validation_batch(batch))
        shared = self.trainer.world_size > 1  # every process validates all pairs
        self.log_dict({f"validation/{name}": value for name, value in losses.items()}, batch_size=1, sync_dist=shared)

    def on_validation_epoch_end(self) -> None:
        """Score the merger by its images."""
        if self.scorer is None:
            return
        metrics, grid = self.scorer(self.merger)
        shared = self.trainer.world_size > 1
        self.log_dict({f"validation/{name}": v for name, v in metrics.items()}, prog_bar=True, sync_dist=shared)
        self.validation_grid = grid

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW on the merger."""
        recipe = self.recipe
        return adamw(self.merger.parameters(), recipe.learning_rate, recipe.weight_decay, eight_bit=recipe.eight_bit)


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
    dtype: Dtype = "fp32",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: Strategy = "auto",
) -> Path:
    """Train until the recipe's steps are done or validation stops improving; resume from `folder/last.ckpt`.

    Args:
        module: What is trained.
        folder: Folder for checkpoints, images and the merger.
        monitor: Validated value that chooses the merger, such as "validation/loss".
        mode: Whether a smaller or a larger value is better.
        validate_every: Steps between validations, and between checkpoints; both also follow the last step.
        patience: Validations without improvement before training stops.
        metadata: How the merger was made, for the header of its file.
        logger: Where to log.
        dtype: "fp32", or "bf16" for a base in bf16; what is trained stays in fp32.
        devices, num_nodes, strategy: Where and how to compute, see `lorarar.training.trainer.fit`. Each
            process takes as many pairs as a step has without others.

    Returns:
        `folder/merger.safetensors`, the best merger on validation pairs, with the range of its training LoRAs in its
        header.

    Raises:
        DivergenceError: A loss is not finite, or the monitored value never was.
    """
    path = folder / "merger.safetensors"
    best, history = BestMerger(path, monitor, mode, metadata), History(monitor)
    fit(
        module,
        steps=module.recipe.steps,
        folder=folder,
        accelerator=module.backbone.device.type,
        checkpoint_every=validate_every,
        callbacks=[
            best,
            history,
            ValidationImages(folder),
            EarlyStopping(monitor, patience=patience, mode=mode),
        ],
        logger=logger,
        datamodule=module.data,
        val_check_interval=validate_every,
        dtype=dtype,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        stage="train the merger",
    )
    if not is_first_process():
        return path
    history.draw(folder / "curve.png")
    if best.best is None:
        raise DivergenceError(
            f"expected a finite {monitor} at some validation, found none: lower recipe.learning_rate, or monitor "
            "another value"
        )
    state_range(path, module.data)
    say(
        f"best {monitor} {best.best:.4g} after step {best.step} of {module.trainer.global_step}; "
        f"{describe_seconds(history.seconds)}; curve: {folder / 'curve.png'}"
    )
    return path
