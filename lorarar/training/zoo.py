"""Zoo: train many LoRAs at once, in one process and one batch, each equal to the LoRA that peft trains alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import lightning
import torch
from torch import Tensor, nn

from lorarar.datasets import Concept
from lorarar.diffusion import Backbone, adapted, join_conditionings
from lorarar.formats import save
from lorarar.lora import LoRA, LowRank
from lorarar.storage import ArtefactError, Dtype, card_path, checked, digest, read_card, stated, write_card
from lorarar.training.batches import (
    EncodedConcept,
    NoisyBatch,
    encode_concept,
    noisy_batch,
    sample_noise,
    step_generator,
)
from lorarar.training.dreambooth import initial_factors
from lorarar.training.settings import Recipe
from lorarar.training.trainer import check_finite, fit, manual_optimiser


class ZooTraining(lightning.LightningModule):
    """Training of n LoRAs of one recipe, one share of the batch each.

    Attributes:
        layers: Paths of the layers that are trained.
        up: Factors B of each layer, stacked, (n, out, rank).
        down: Factors A of each layer, stacked, (n, rank, in).
    """

    def __init__(self, backbone: Backbone, concepts: Sequence[Concept], recipe: Recipe) -> None:
        super().__init__()
        self.automatic_optimization = False  # the adapted context must stay open through backward
        self.backbone, self.recipe = backbone, recipe
        self.names = [concept.name for concept in concepts]
        self.encoded = [encode_concept(backbone, concept) for concept in concepts]
        initial = [initial_factors(backbone.denoiser, recipe, name) for name in self.names]
        self.layers = list(initial[0])
        self.up = nn.ParameterList(_stacked([factors[path].B for factors in initial]) for path in self.layers)
        self.down = nn.ParameterList(_stacked([factors[path].A for factors in initial]) for path in self.layers)

    def training_step(self, batch: int, index: int) -> None:
        """Take one step with every LoRA, each on a batch that is a function of (seed, concept, step)."""
        batches = [self._batch(name, encoded) for name, encoded in zip(self.names, self.encoded, strict=True)]
        optimiser = manual_optimiser(self)
        optimiser.zero_grad()
        with adapted(self.backbone.denoiser, self.loras()):
            predicted = self.backbone.predict(
                torch.cat([noisy.noisy for noisy in batches]),
                torch.cat([noisy.timesteps for noisy in batches]),
                join_conditionings([noisy.conditioning for noisy in batches]),
            )
            target = torch.cat([noisy.target for noisy in batches])
            errors = (predicted.float() - target.float()).square()
            losses = errors.unflatten(0, (len(batches), -1)).flatten(1).mean(1)
            self.manual_backward(losses.sum())
        check_finite(
            dict(zip(self.names, losses.tolist(), strict=True)),
            step=self.global_step,
            unit="concepts",
            advice="lower recipe.learning_rate, or look at these concepts' images",
        )
        clip_each([*self.up, *self.down], self.recipe.clip)
        optimiser.step()
        self.log("loss", losses.mean(), prog_bar=True)

    def _batch(self, name: str, encoded: EncodedConcept) -> NoisyBatch:
        random = step_generator(self.recipe.seed, name, self.global_step)
        timesteps, noise = sample_noise(self.backbone, encoded.latents, self.recipe.images, random)
        return noisy_batch(self.backbone, encoded, timesteps, noise, random)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW at a constant rate. It works element by element, so stacking changes no LoRA."""
        return torch.optim.AdamW(self.parameters(), self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)

    def loras(self) -> list[LoRA]:
        """Return the LoRAs as trained so far; their factors are views of the parameters."""
        return [self._lora(i) for i in range(len(self.names))]

    def _lora(self, number: int) -> LoRA:
        scale = self.recipe.scale(self.names[number])
        layers = {
            path: LowRank(up[number], down[number], scale)
            for path, up, down in zip(self.layers, self.up, self.down, strict=True)
        }
        return LoRA(layers, name=self.names[number])


def _stacked(factors: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack(list(factors)))


def clip_each(parameters: Sequence[Tensor], limit: float) -> None:
    """Clip the norm of each LoRA's gradient by itself, as if the LoRA were trained alone.

    Args:
        parameters: Tensors (n, ..) with gradients; index i of all of them belongs to LoRA i.
        limit: Largest norm.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
    factors = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))


def train_zoo(
    backbone: Backbone,
    concepts: Sequence[Concept],
    recipe: Recipe,
    *,
    folder: Path,
    runs: Path,
    group: int,
    checkpoint_every: int,
    dtype: Dtype = "fp32",
) -> list[Path]:
    """Train a LoRA for each concept and write `folder/<name>.safetensors` with a card for each.

    Finished LoRAs are kept and skipped. An interrupted group resumes from its checkpoint in `runs`.

    Args:
        backbone: The base.
        concepts: Concepts with images and captions.
        recipe: How each LoRA is trained.
        folder: Folder for the LoRAs.
        runs: Folder for checkpoints.
        group: LoRAs trained at once.
        checkpoint_every: Steps between checkpoints.
        dtype: "fp32", or "bf16" for a base in bf16; what is trained stays in fp32.

    Returns:
        The paths of all LoRAs, in the order of the concepts.

    Raises:
        ArtefactError: `folder` holds a LoRA of another recipe, or one that differs from its card.
        DivergenceError: A loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {concept.name: folder / f"{concept.name}.safetensors" for concept in concepts}
    left = [concept for concept in concepts if not _is_finished(paths[concept.name], recipe)]
    for members in _groups(left, recipe, group):
        module = ZooTraining(backbone, members, recipe)
        run = runs / _run_name(members, recipe)
        fit(
            module,
            steps=recipe.steps_of(members[0].name),
            folder=run,
            accelerator=backbone.device.type,
            checkpoint_every=checkpoint_every,
            dtype=dtype,
            stage=f"train {len(members)} LoRAs" if len(members) > 1 else f"train {members[0].name}",
        )
        for concept, lora in zip(members, module.loras(), strict=True):
            write_lora(lora, concept, recipe, paths[concept.name])
        shutil.rmtree(run)
    return list(paths.values())


def _run_name(members: Sequence[Concept], recipe: Recipe) -> str:
    """Return the name of a group's run: a checkpoint of other members or of another recipe must not be resumed from."""
    identity = {"recipe": stated(recipe), "concepts": [member.name for member in members]}
    return f"{members[0].name}_{len(members)}_{digest(identity)[:16]}"


def _groups(concepts: Sequence[Concept], recipe: Recipe, size: int) -> Iterator[list[Concept]]:
    """Yield concepts of equal training length, at most `size` together."""
    lengths: dict[int, list[Concept]] = {}
    for concept in concepts:
        lengths.setdefault(recipe.steps_of(concept.name), []).append(concept)
    for members in lengths.values():
        for start in range(0, len(members), size):
            yield members[start : start + size]


def write_lora(lora: LoRA, concept: Concept, recipe: Recipe, path: Path) -> None:
    """Write a trained LoRA and its card."""
    facts = {"method": "dreambooth", "concept": concept.name, "kind": concept.kind, "phrase": concept.phrase}
    save(lora, path, metadata=facts, force=True)
    write_card(path, **facts, captions=list(concept.captions), images=len(concept.images), recipe=asdict(recipe))


def _is_finished(path: Path, recipe: Recipe) -> bool:
    """Tell whether the LoRA is there with its card.

    Raises:
        ArtefactError: The LoRA is of another recipe, or differs from its card.
    """
    if not (path.exists() and card_path(path).exists()):
        return False
    recorded = read_card(checked(path))["recipe"]
    expected = json.loads(json.dumps(asdict(recipe)))
    changed = {key: (recorded.get(key), value) for key, value in expected.items() if recorded.get(key) != value}
    if changed:
        raise ArtefactError(
            f"expected a LoRA of this recipe at {path}, found one of another recipe (there, here): {changed}: choose "
            "another output folder, or delete it"
        )
    return True
