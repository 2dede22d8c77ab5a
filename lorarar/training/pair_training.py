"""Pair training: optimise the coefficients of many pairs in one batch, each as if it were alone (ZipLoRA, CAT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import lightning
import torch
from torch import Tensor, nn

from lorarar.datasets import Pair
from lorarar.diffusion import Backbone
from lorarar.hypernetwork import ConstantMerger
from lorarar.lora import Coefficients, LoRA, lora_norm
from lorarar.mergers import TERMS, check_terms, weighted_total
from lorarar.mergers.optimised import PairMethod
from lorarar.storage import Dtype, digest, stated
from lorarar.training.pairs import PairSampler, Predictor
from lorarar.training.targets import objective_terms
from lorarar.training.trainer import adamw, check_finite, fit, manual_optimiser

# A single step's loss depends most on its timestep: early stopping uses an exponential mean over about 20 steps.
_SMOOTHING = 0.95


@dataclass(frozen=True, eq=False)
class OptimisedPair:
    """The optimised coefficients of one pair, and the objective before and after.

    Attributes:
        pair: Name of the pair.
        merger: The coefficients as an ordinary learned merger, for `lorarar.hypernetwork.save_merger`.
        coefficients: The coefficients of the pair's LoRAs, detached.
        steps: Number of optimiser steps.
        before: The objective's terms and their weighted sum "loss" with the initial coefficients (direct merging, where
            all start from 1), on held-out batches that no step uses.
        after: The same terms on the same batches with the optimised coefficients.
    """

    pair: str
    merger: ConstantMerger
    coefficients: Coefficients
    steps: int
    before: Mapping[str, float]
    after: Mapping[str, float]


class PairTraining(lightning.LightningModule):
    """Training of n pairs' coefficients, one share of the batch each; batches, gradient and steps are each pair's own.

    Its batches are a function of (seed, step, pair). Coefficients start from 1, or from what `init` predicts.

    Attributes:
        mergers: The coefficients of each pair.
        smoothed: Smoothed loss of each pair, (n,).
        best: Smallest smoothed loss of each pair, (n,).
        waited: Steps of each pair since that minimum, (n,).
        taken: Steps of each pair, (n,).
    """

    smoothed: Tensor
    best: Tensor
    waited: Tensor
    taken: Tensor

    def __init__(
        self, sampler: PairSampler, pairs: Sequence[Pair], method: PairMethod, init: Predictor | None = None
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # the adapted context must stay open through backward
        self.sampler, self.pairs, self.method = sampler, list(pairs), method
        mergers = [method.initial(sampler.loras_of(pair)) for pair in pairs]
        self.mergers = nn.ModuleList(mergers).to(sampler.backbone.device)
        if init:
            for merger, pair in zip(mergers, pairs, strict=True):
                merger.start_from(init(sampler.loras_of(pair)))
        # Buffers, so that a resumed run stops where an uninterrupted one does.
        self.register_buffer("smoothed", torch.full((len(pairs),), torch.nan))
        self.register_buffer("best", torch.full((len(pairs),), torch.inf))
        self.register_buffer("waited", torch.zeros(len(pairs), dtype=torch.long))
        self.register_buffer("taken", torch.zeros(len(pairs), dtype=torch.long))

    def merger(self, number: int) -> ConstantMerger:
        """Return the coefficients of a pair by its number."""
        return cast(ConstantMerger, self.mergers[number])

    def training_step(self, batch: int, index: int) -> None:
        """Take one step with every pair that has not stopped."""
        going = self._going()
        if not going:  # a run that had stopped early was resumed
            self.trainer.should_stop = True
            return
        optimiser = manual_optimiser(self)
        optimiser.zero_grad()
        for parameters in optimiser.param_groups:
            parameters["lr"] = self.method.recipe.rate(self.global_step)
        key = (self.method.seed, "step", self.global_step)
        batches = [self.sampler.batch(self.pairs[i], self.method.images, key) for i in going]
        coefficients = [self.merger(i)(pair.loras) for i, pair in zip(going, batches, strict=True)]
        with objective_terms(self.sampler.backbone, batches, coefficients, self.method.weights) as terms:
            losses = weighted_total(self.method.weights, terms)
            check_finite(
                {pair.name: loss for pair, loss in zip(batches, losses.tolist(), strict=True)},
                step=self.global_step,
                unit="pairs",
                advice="lower learning_rate, or leave these LoRAs out",
            )
            self.manual_backward(losses.sum())
        optimiser.step()
        self._count(going, losses.detach())
        self.log("loss", losses.detach().mean(), prog_bar=True)
        self.trainer.should_stop = not self._going()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip each pair's own gradient, whose scale in fp16 Lightning has taken out by now."""
        for i in self._going():
            nn.utils.clip_grad_norm_(self.mergers[i].parameters(), self.method.recipe.clip)

    def _going(self) -> list[int]:
        """Return the numbers of the pairs that have not stopped."""
        patience = self.method.patience
        return [i for i, waited in enumerate(self.waited.tolist()) if not patience or waited < patience]

    def _count(self, going: Sequence[int], losses: Tensor) -> None:
        """Update each pair's smoothed loss, its minimum, and the steps since then."""
        before = self.smoothed[going]
        smoothed = torch.where(before.isnan(), losses, _SMOOTHING * before + (1 - _SMOOTHING) * losses)
        better = smoothed < self.best[going]
        self.smoothed[going] = smoothed
        self.waited[going] = torch.where(better, 0, self.waited[going] + 1)
        self.best[going] = torch.where(better, smoothed, self.best[going])
        self.taken[going] += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW. It works element by element, so further pairs change no pair."""
        recipe = self.method.recipe
        return adamw(self.mergers.parameters(), recipe.learning_rate, recipe.weight_decay, eight_bit=recipe.eight_bit)


def optimise(
    backbone: Backbone,
    pairs: Sequence[Pair],
    loras: Mapping[str, LoRA],
    method: PairMethod,
    *,
    group: int = 16,
    runs: Path | None = None,
    checkpoint_every: int = 25,
    dtype: Dtype = "fp32",
    held_out: int = 8,
    init: Predictor | None = None,
    synthetic: Mapping[str, Tensor] | None = None,
) -> list[OptimisedPair]:
    """Optimise the coefficients of each pair, `group` pairs in one batch; the results are those of each pair alone.

    Args:
        backbone: The base.
        pairs: The pairs.
        loras: LoRAs by the concept's name.
        method: Such as `lorarar.mergers.optimised.ZIPLORA`, or a copy of it with other settings.
        group: Pairs in one batch.
        runs: Folder for checkpoints, from which an interrupted run resumes; None keeps none.
        checkpoint_every: Steps between checkpoints.
        dtype: "fp32", or "bf16" for a base in bf16; what is trained stays in fp32.
        held_out: Number of batches, of `method.images` images of each concept, that measure the objective.
        init: Predicts the coefficients that each pair starts from, such as a hypernetwork; None starts from 1.
        synthetic: As in `PairSampler`, for methods whose objective has the distillation term.

    Raises:
        KeyError: A concept has no LoRA.
        ValueError: The LoRAs of a pair do not fit each other or the base, or have no layer to optimise.
        DivergenceError: A loss is not finite; the message names step and pairs.
    """
    check_terms(method.weights)
    sampler = PairSampler(backbone, [c for pair in pairs for c in (pair.content, pair.style)], loras, synthetic)
    results: list[OptimisedPair] = []
    for first in range(0, len(pairs), group):
        module = PairTraining(sampler, pairs[first : first + group], method, init)
        before = measure_objective(module, held_out)
        with ExitStack() as stack:
            folder = (runs or Path(stack.enter_context(TemporaryDirectory()))) / _run_name(module)
            trainer = fit(
                module,
                steps=method.recipe.steps,
                folder=folder,
                accelerator=backbone.device.type,
                checkpoint_every=checkpoint_every if runs else method.recipe.steps + 1,
                dtype=dtype,
                stage=f"optimise {len(module.pairs)} pairs"
                if len(module.pairs) > 1
                else f"optimise {module.pairs[0].name}",
            )
            if runs:  # keep the end too: if a later part of the command fails, it need not optimise again
                trainer.save_checkpoint(folder / "last.ckpt", weights_only=False)  # Lightning logs an open choice
        module.to(backbone.device)
        results += _results(module, before, measure_objective(module, held_out))
    return results


@torch.no_grad()
def measure_objective(module: PairTraining, count: int) -> list[dict[str, float]]:
    """Return each pair's objective, by term and as "loss": means over `count` batches that no step uses."""
    sampler, weights = module.sampler, module.method.weights
    coefficients = [module.merger(i)(sampler.loras_of(pair)) for i, pair in enumerate(module.pairs)]
    batches: list[dict[str, Tensor]] = []
    for number in range(count):
        batch = [sampler.batch(pair, module.method.images, ("held out", number)) for pair in module.pairs]
        with objective_terms(sampler.backbone, batch, coefficients, weights) as terms:
            batches.append({"loss": weighted_total(weights, terms)} | terms)
    means = {name: torch.stack([terms[name] for terms in batches]).mean(0).tolist() for name in batches[0]}
    return [{name: values[i] for name, values in means.items()} for i in range(len(module.pairs))]


def _results(
    module: PairTraining, before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]
) -> list[OptimisedPair]:
    results = []
    for i, pair in enumerate(module.pairs):
        merger = module.merger(i).eval().requires_grad_(False)
        coefficients = merger(module.sampler.loras_of(pair))
        results.append(OptimisedPair(pair.name, merger, coefficients, int(module.taken[i]), before[i], after[i]))
    return results


def _run_name(module: PairTraining) -> str:
    """Return the name of the run: a checkpoint of other work must not be resumed from.

    Other work is another method or other pairs, descriptions, LoRAs or initial coefficients.
    """
    members = []
    for i, pair in enumerate(module.pairs):
        # The lengths, since LoRAs that were balanced or weighted keep the hash of their file.
        hashes = [f"{lora.sha256} {lora_norm(lora):.5g}" for lora in module.sampler.loras_of(pair)]
        members.append([pair.name, pair.description, hashes, module.merger(i).values.tolist()])
    identity = {"method": stated(module.method), "pairs": members}
    if plugins := TERMS.plugins(module.method.weights.extra):
        identity["plugins"] = plugins
    return f"{module.pairs[0].name[:80]}_{len(module.pairs)}_{digest(identity)[:16]}"
