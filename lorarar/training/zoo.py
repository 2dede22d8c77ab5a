"""Train many LoRAs at once, in one process and one batch, each equal to the one peft would train alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import lightning
import torch
from torch import Tensor, nn

from lorarar.datasets import Concept, seed_of
from lorarar.diffusion import Backbone, adapted, join_conditionings
from lorarar.formats import save
from lorarar.lora import LoRA, LowRank
from lorarar.storage import ArtefactError, card_path, checked, read_card, write_card
from lorarar.training.batches import Encoded, NoisyBatch, encode_concept, noisy_batch, sample_noise, step_generator
from lorarar.training.dreambooth import initial_lora
from lorarar.training.settings import Recipe
from lorarar.training.trainer import fit


class ZooTraining(lightning.LightningModule):
    """n LoRAs of one recipe, one share of the batch each; their factors are stacked along the first dimension.

    Attributes:
        up: for each layer, (n, out, rank).
        down: for each layer, (n, rank, in).
    """

    def __init__(self, backbone: Backbone, concepts: Sequence[Concept], recipe: Recipe) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.backbone, self.recipe = backbone, recipe
        self.names = [concept.name for concept in concepts]
        self.encoded = [encode_concept(backbone, concept) for concept in concepts]
        starts = [initial_lora(backbone.denoiser, recipe, name) for name in self.names]
        self.layers = list(starts[0].layers)
        self.up = nn.ParameterList(
            [nn.Parameter(torch.stack([start.layers[path].B for start in starts])) for path in self.layers]
        )
        self.down = nn.ParameterList(
            [nn.Parameter(torch.stack([start.layers[path].A for start in starts])) for path in self.layers]
        )

    def training_step(self, batch: int, index: int) -> None:
        """One step of every LoRA, each on a batch that is a function of (seed, concept, step)."""
        drawn = [self._draw(name, encoded) for name, encoded in zip(self.names, self.encoded, strict=True)]
        optimiser = self.optimizers()
        optimiser.zero_grad()
        with adapted(self.backbone.denoiser, self.loras()):
            predicted = self.backbone.predict(
                torch.cat([d.noisy for d in drawn]),
                torch.cat([d.timesteps for d in drawn]),
                join_conditionings([d.conditioning for d in drawn]),
            )
            target = torch.cat([d.target for d in drawn])
            losses = (predicted.float() - target.float()).square().unflatten(0, (len(drawn), -1)).flatten(1).mean(1)
            self.manual_backward(losses.sum())
        diverged = [name for name, loss in zip(self.names, losses, strict=True) if not loss.isfinite()]
        if diverged:
            raise FloatingPointError(
                f"the loss of {diverged} is not finite at step {self.global_step}: lower recipe.learning_rate, or look "
                "at these concepts' images; the last checkpoint is kept"
            )
        clip_each([*self.up, *self.down], self.recipe.clip)
        optimiser.step()
        self.log("loss", losses.mean(), prog_bar=True)

    def _draw(self, name: str, encoded: Encoded) -> NoisyBatch:
        random = step_generator(self.recipe.seed, name, self.global_step)
        noise = sample_noise(self.backbone, encoded.latents, self.recipe.images, random)
        return noisy_batch(self.backbone, encoded, *noise, random)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW at a constant rate. It works element by element, so stacking changes nothing."""
        return torch.optim.AdamW(self.parameters(), self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)

    def loras(self) -> list[LoRA]:
        """The LoRAs as trained so far; their factors are views of the parameters."""
        return [
            LoRA(
                {
                    path: LowRank(up[i], down[i], self.recipe.scale(name))
                    for path, up, down in zip(self.layers, self.up, self.down, strict=True)
                },
                name=name,
            )
            for i, name in enumerate(self.names)
        ]


def clip_each(parameters: Sequence[Tensor], limit: float) -> None:
    """Clip the gradient's norm of each LoRA by itself, as if it were trained alone.

    Args:
        parameters: (n, ..) each, with gradients; index i of all of them belongs to LoRA i.
        limit: largest norm.
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
    precision: str = "32-true",
) -> list[Path]:
    """Train a LoRA for each concept, ``group`` at once, and write ``folder/<name>.safetensors`` with a card each.

    Finished LoRAs are kept and skipped; an interrupted group goes on from its checkpoint in ``runs``.

    Raises:
        ArtefactError: ``folder`` holds a LoRA of another recipe, or one that differs from its card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {concept.name: folder / f"{concept.name}.safetensors" for concept in concepts}
    left = [concept for concept in concepts if not _finished(paths[concept.name], recipe)]
    for members in _groups(left, recipe, group):
        module = ZooTraining(backbone, members, recipe)
        # A checkpoint of other members or of another recipe must not be resumed from.
        made = seed_of(recipe, *(member.name for member in members))
        run = runs / f"{members[0].name}_{len(members)}_{made:08x}"
        fit(
            module,
            steps=recipe.steps_of(members[0].name),
            folder=run,
            accelerator=backbone.device.type,
            checkpoint_every=checkpoint_every,
            precision=precision,
        )
        for concept, lora in zip(members, module.loras(), strict=True):
            write_lora(lora, concept, recipe, paths[concept.name])
        shutil.rmtree(run)
    return list(paths.values())


def _groups(concepts: Sequence[Concept], recipe: Recipe, size: int) -> Iterator[list[Concept]]:
    """Concepts of equal training length, at most ``size`` together."""
    lengths: dict[int, list[Concept]] = {}
    for concept in concepts:
        lengths.setdefault(recipe.steps_of(concept.name), []).append(concept)
    for members in lengths.values():
        yield from (members[start : start + size] for start in range(0, len(members), size))


def write_lora(lora: LoRA, concept: Concept, recipe: Recipe, path: Path) -> None:
    """Write a trained LoRA and its card."""
    facts = {"method": "dreambooth", "concept": concept.name, "kind": concept.kind, "phrase": concept.phrase}
    save(lora, path, metadata=facts, force=True)
    write_card(path, **facts, captions=list(concept.captions), images=len(concept.images), recipe=asdict(recipe))


def _finished(path: Path, recipe: Recipe) -> bool:
    if not (path.exists() and card_path(path).exists()):
        return False
    made = read_card(checked(path))["recipe"]
    wanted = json.loads(json.dumps(asdict(recipe)))
    changed = {key: (made.get(key), value) for key, value in wanted.items() if made.get(key) != value}
    if changed:
        raise ArtefactError(
            f"{path} was made by another recipe (there, here): {changed}: choose another output folder, or delete it"
        )
    return True
