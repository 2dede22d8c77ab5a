"""Optimise the coefficients of pairs: ZipLoRA and CAT, many pairs in one batch, each as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import lightning
import torch
from torch import Tensor, nn

from lorarar.datasets import Pair, seed_of
from lorarar.diffusion import Backbone
from lorarar.hypernetwork import ConstantMerger
from lorarar.lora import Coefficients, LoRA
from lorarar.mergers import weighted_total
from lorarar.mergers.optimised import PairMethod
from lorarar.training.pairs import PairSampler
from lorarar.training.targets import objective_terms
from lorarar.training.trainer import fit

# A single step's loss depends most on its timestep: early stopping looks at an exponential mean over about 20 steps.
_SMOOTHING = 0.95

Predictor = Callable[[Sequence[LoRA]], Coefficients]


@dataclass(frozen=True, eq=False)
class Optimised:
    """The coefficients of one pair and what they cost.

    Attributes:
        pair: its name.
        merger: the coefficients as an ordinary learned merger, for `lorarar.hypernetwork.checkpoint.save_merger`.
        coefficients: of the pair's LoRAs, detached.
        steps: taken.
        before: the objective's terms and their weighted sum "loss" with all coefficients at their start (direct
            merging, where everything starts from 1), on draws that no step sees.
        after: the same terms on the same draws with the optimised coefficients.
    """

    pair: str
    merger: ConstantMerger
    coefficients: Coefficients
    steps: int
    before: Mapping[str, float]
    after: Mapping[str, float]


class PairTraining(lightning.LightningModule):
    """The coefficients of n pairs, one share of the batch each; a pair's draws, gradient and steps are its own.

    Its draws are a function of (seed, step, pair). Coefficients start from 1, or from what ``init`` predicts.

    Attributes:
        mergers: one for each pair.
        taken: steps of each pair, (n,).
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
        self.mergers = nn.ModuleList([method.initial(sampler.both(pair)) for pair in pairs]).to(sampler.backbone.device)
        for merger, pair in zip(self.mergers, pairs if init else (), strict=False):
            merger.start_from(init(sampler.both(pair)))
        # Buffers, so that a resumed run stops where an uninterrupted one does.
        self.register_buffer("smoothed", torch.full((len(pairs),), torch.nan))
        self.register_buffer("best", torch.full((len(pairs),), torch.inf))
        self.register_buffer("waited", torch.zeros(len(pairs), dtype=torch.long))
        self.register_buffer("taken", torch.zeros(len(pairs), dtype=torch.long))

    def training_step(self, batch: int, index: int) -> None:
        """One step of every pair that has not stopped."""
        going = self._going()
        if not going:  # a run that had stopped early was resumed
            self.trainer.should_stop = True
            return
        pairs = [self.pairs[i] for i in going]
        optimiser = self.optimizers()
        optimiser.zero_grad()
        for parameters in optimiser.param_groups:
            parameters["lr"] = self.method.recipe.rate(self.global_step)
        key = (self.method.seed, "step", self.global_step)
        drawn = [self.sampler.batch(pair, self.method.images, key) for pair in pairs]
        coefficients = [self.mergers[i](one.loras) for i, one in zip(going, drawn, strict=True)]
        with objective_terms(self.sampler.backbone, drawn, coefficients, self.method.weights) as terms:
            losses = weighted_total(self.method.weights, terms)
            self._check(pairs, losses)
            self.manual_backward(losses.sum())
        for i in going:
            nn.utils.clip_grad_norm_(self.mergers[i].parameters(), self.method.recipe.clip)
        optimiser.step()
        self._count(going, losses.detach())
        self.log("loss", losses.detach().mean(), prog_bar=True)
        self.trainer.should_stop = not self._going()

    def _going(self) -> list[int]:
        """The numbers of the pairs that have not stopped."""
        patience = self.method.patience
        return [i for i, waited in enumerate(self.waited.tolist()) if not patience or waited < patience]

    def _check(self, pairs: Sequence[Pair], losses: Tensor) -> None:
        diverged = [pair.name for pair, loss in zip(pairs, losses, strict=True) if not loss.isfinite()]
        if diverged:
            raise FloatingPointError(
                f"the loss is not finite at step {self.global_step}, pairs {diverged}: the last checkpoint is kept; "
                "lower learning_rate, or leave these LoRAs out"
            )

    def _count(self, going: Sequence[int], losses: Tensor) -> None:
        """Keep each pair's smoothed loss, and for how many steps it has found no new minimum."""
        before = self.smoothed[going]
        smoothed = torch.where(before.isnan(), losses, _SMOOTHING * before + (1 - _SMOOTHING) * losses)
        better = smoothed < self.best[going]
        self.smoothed[going] = smoothed
        self.waited[going] = torch.where(better, 0, self.waited[going] + 1)
        self.best[going] = torch.where(better, smoothed, self.best[going])
        self.taken[going] += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW. It works element by element, so that many pairs change nothing."""
        recipe = self.method.recipe
        return torch.optim.AdamW(self.mergers.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)


def optimise(
    backbone: Backbone,
    pairs: Sequence[Pair],
    loras: Mapping[str, LoRA],
    method: PairMethod,
    *,
    group: int = 16,
    runs: Path | None = None,
    checkpoint_every: int = 25,
    precision: str = "32-true",
    held_out: int = 8,
    init: Predictor | None = None,
    synthetic: Mapping[str, Tensor] | None = None,
) -> list[Optimised]:
    """Optimise the coefficients of each pair, ``group`` pairs in one batch; the results are those of each pair alone.

    Args:
        loras: by concept name.
        method: such as `lorarar.mergers.optimised.ziplora.ZIPLORA`, or a copy of it with other settings.
        runs: folder for checkpoints, from which an interrupted run goes on; None keeps none.
        checkpoint_every: steps.
        init: predicts the coefficients that each pair starts from, such as a hypernetwork; None starts from 1.
        held_out: draws, of ``method.images`` images of each concept, on which the objective is measured.
        imagined: as in `lorarar.training.pairs.PairDraws`, for methods whose objective has the described term.

    Raises:
        KeyError: a concept has no LoRA.
        ValueError: the LoRAs of a pair do not fit each other or the base, or have no layer to optimise.
        FloatingPointError: a loss is not finite; the message names step and pairs.
    """
    sampler = PairSampler(backbone, [c for pair in pairs for c in (pair.content, pair.style)], loras, synthetic)
    found: list[Optimised] = []
    for first in range(0, len(pairs), group):
        module = PairTraining(sampler, pairs[first : first + group], method, init)
        before = measured(module, held_out)
        with ExitStack() as stack:
            folder = (runs or Path(stack.enter_context(TemporaryDirectory()))) / _run_name(module)
            trainer = fit(
                module,
                steps=method.recipe.steps,
                folder=folder,
                accelerator=backbone.device.type,
                checkpoint_every=checkpoint_every if runs else method.recipe.steps + 1,
                precision=precision,
            )
            if runs:  # the end too, so that what comes after can fail without another optimisation
                trainer.save_checkpoint(folder / "last.ckpt")
        module.to(backbone.device)
        found += _results(module, before, measured(module, held_out))
    return found


@torch.no_grad()
def measured(module: PairTraining, count: int) -> list[dict[str, float]]:
    """Each pair's objective, by term and as "loss", a mean over ``count`` draws that no step sees."""
    coefficients = [
        merger(module.sampler.both(pair)) for pair, merger in zip(module.pairs, module.mergers, strict=True)
    ]
    sums: list[dict[str, Tensor]] = []
    for number in range(count):
        batch = [module.sampler.batch(pair, module.method.images, ("held out", number)) for pair in module.pairs]
        with objective_terms(module.sampler.backbone, batch, coefficients, module.method.weights) as terms:
            sums.append({"loss": weighted_total(module.method.weights, terms)} | terms)
    means = {name: torch.stack([terms[name] for terms in sums]).mean(0).tolist() for name in sums[0]}
    return [{name: values[i] for name, values in means.items()} for i in range(len(module.pairs))]


def _results(
    module: PairTraining, before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]
) -> list[Optimised]:
    found = []
    for i, pair in enumerate(module.pairs):
        merger = module.mergers[i].eval().requires_grad_(False)
        assert isinstance(merger, ConstantMerger)  # for the type checker
        coefficients = merger(module.sampler.both(pair))
        found.append(Optimised(pair.name, merger, coefficients, int(module.taken[i]), before[i], after[i]))
    return found


def _run_name(module: PairTraining) -> str:
    """A checkpoint of other pairs, descriptions or LoRAs, of another method or init must not be resumed from."""
    members: list[object] = []
    for pair, merger in zip(module.pairs, module.mergers, strict=True):
        hashes = [lora.sha256 for lora in module.sampler.both(pair)]
        members += [pair.name, pair.description, *hashes, merger.values.detach().tolist()]
    return f"{module.pairs[0].name[:80]}_{len(module.pairs)}_{seed_of(module.method, *members):08x}"
