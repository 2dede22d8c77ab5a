"""Zoo: train many LoRAs at once, in one process and one batch, each equal to the LoRA that is trained alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import lightning
import torch
from torch import Tensor

from lorarar.datasets import Concept
from lorarar.diffusion import Backbone
from lorarar.lora import LoRA
from lorarar.storage import Dtype, digest, stated
from lorarar.training.batches import (
    EncodedConcept,
    NoisyBatch,
    encode_concept,
    encode_prior,
    join_batches,
    noisy_batch,
    sample_noise,
    step_generator,
)
from lorarar.training.settings import Recipe, SavePrecision, check_recipe
from lorarar.training.trainer import DivergenceError, adamw, fit, manual_optimiser
from lorarar.training.units import Units, clip_each, gradients_of, unit_parts_are_finite
from lorarar.training.zoo_files import unfinished, write_unit

_ADVICE = "lower recipe.learning_rate, or look at these concepts' images"


class ZooTraining(lightning.LightningModule):
    """Training of n LoRAs of one recipe and one length, one share of the batch each.

    A LoRA whose loss is not finite stays as it is from then on; the others go on.

    Attributes:
        units: The parts that are trained.
        diverged: Step at which each LoRA's loss was not finite, (n,); -1 where it was always finite.

    Raises:
        ConfigError: The recipe contradicts itself.
        ValueError: The recipe does not fit the base.
    """

    diverged: Tensor

    def __init__(
        self,
        backbone: Backbone,
        concepts: Sequence[Concept],
        recipe: Recipe,
        *,
        accumulate: int = 1,
        latents: Path | None = None,
    ) -> None:
        super().__init__()
        check_recipe(recipe)
        self.automatic_optimization = False  # the adapted context must stay open through backward
        self.backbone, self.recipe, self.accumulate = backbone, recipe, accumulate
        self.names = [concept.name for concept in concepts]
        self.steps = recipe.steps_of(self.names[0])
        self.units = Units(backbone, recipe, self.names)
        self.encoded = [
            (encode_concept(backbone, concept, latents), *self._prior(concept, latents)) for concept in concepts
        ]
        if recipe.min_snr_gamma is not None:
            backbone.noise.min_snr_weight(torch.zeros(1, dtype=torch.long), recipe.min_snr_gamma)  # or an error at once
        self.register_buffer("diverged", torch.full((len(self.names),), -1))

    def training_step(self, number: int, index: int) -> None:
        """Take one step with every LoRA, each on a batch that is a function of (seed, concept, step)."""
        batch = join_batches([self._batch(name, *e) for name, e in zip(self.names, self.encoded, strict=True)])
        optimiser = manual_optimiser(self)
        self._set_rates(optimiser)
        optimiser.zero_grad()
        losses = torch.zeros(len(self.names), device=batch.noisy.device)
        for part, share in self._parts(batch):
            with self.units.adapted(self.backbone, self.global_step):
                conditioning = (
                    self.backbone.encode_prompts(part.captions) if self.recipe.text_encoders else part.conditioning
                )
                predicted = self.backbone.predict(part.noisy, part.timesteps, conditioning)
                part_losses = self._losses(predicted, part)
                self.manual_backward(part_losses.sum() * share)
            losses += part_losses.detach() * share
        self._leave_out_diverged(losses)
        optimiser.step()
        self.log("loss", losses[self.diverged < 0].mean(), prog_bar=True)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip each LoRA's own gradient, whose scale in fp16 Lightning has taken out by now."""
        clip_each(self.units.ordered(), self.recipe.clip)

    def _parts(self, batch: NoisyBatch) -> Iterator[tuple[NoisyBatch, float]]:
        """Yield the parts of a step with their shares of it: some images of each LoRA, and as many of its class."""
        images, prior = self.recipe.images, bool(self.recipe.prior_images)
        rows = torch.arange(len(batch.noisy)).view(len(self.names) * (1 + prior), images)
        for columns in torch.arange(images).chunk(self.accumulate):
            yield batch[rows[:, columns].flatten()], len(columns) / images

    def _prior(self, concept: Concept, latents: Path | None) -> list[EncodedConcept]:
        """Return the encoded images of a concept's class, where the recipe preserves it."""
        if not self.recipe.prior_images:
            return []
        if not concept.prior:
            raise ValueError(
                f"expected images of the class of {concept.name} for recipe.prior_images, found none: let "
                "`lorarar zoo` sample them, or set recipe.prior_images=0"
            )
        return [encode_prior(self.backbone, concept, latents)]

    def _batch(self, name: str, *encoded: EncodedConcept) -> NoisyBatch:
        """Return a LoRA's share of the batch: images of its concept, then as many of its class."""
        random = step_generator(self.recipe.seed, name, self.global_step)
        parts = []
        for source in encoded:
            timesteps, noise = sample_noise(self.backbone, source.latents, self.recipe.images, random)
            parts.append(noisy_batch(self.backbone, source, timesteps, noise, random))
        return join_batches(parts)

    def _losses(self, predicted: Tensor, batch: NoisyBatch) -> Tensor:
        """Return the loss of each LoRA, (n,): its concept's, and its class' times the prior's weight."""
        errors = (predicted.float() - batch.target.float()).square()
        if self.recipe.min_snr_gamma is not None:
            weights = self.backbone.noise.min_snr_weight(batch.timesteps, self.recipe.min_snr_gamma)
            errors = errors * weights.view(-1, *[1] * (errors.ndim - 1))
        by_unit: Tensor = errors.unflatten(0, (len(self.names), -1))
        if not self.recipe.prior_images:
            return by_unit.flatten(1).mean(1)
        own, prior = (part.flatten(1).mean(1) for part in by_unit.chunk(2, dim=1))
        combined: Tensor = own + self.recipe.prior_loss_weight * prior
        return combined

    def _leave_out_diverged(self, losses: Tensor) -> None:
        """Stop the training of LoRAs whose loss is not finite.

        Raises:
            DivergenceError: None is left.
        """
        fresh = ~losses.detach().isfinite() & (self.diverged < 0)
        self.diverged[fresh] = self.global_step
        gone = self.diverged >= 0
        if not bool(gone.any()):
            return
        if bool(gone.all()):
            raise DivergenceError(describe_divergence(self.diverged_units()))
        for gradient in gradients_of(self.units.ordered()):
            gradient[gone] = 0

    def diverged_units(self) -> dict[str, int]:
        """Return the LoRAs whose loss or parts are not finite, each with the step at which that was seen."""
        return {
            name: step if step >= 0 else self.global_step
            for number, (name, step) in enumerate(zip(self.names, self.diverged.tolist(), strict=True))
            if step >= 0 or not unit_parts_are_finite(self.units.unit(number))
        }

    def _set_rates(self, optimiser: torch.optim.Optimizer) -> None:
        factor = self.recipe.rate_factor(self.global_step, self.steps)
        for group, rate in zip(optimiser.param_groups, self._rates(), strict=True):
            group["lr"] = rate * factor

    def _rates(self) -> list[float]:
        """Return the highest learning rate of the denoiser's layers, and the text encoders' where they are trained."""
        rate = self.recipe.learning_rate
        return [rate, self.recipe.text_encoder_learning_rate or rate] if self.recipe.text_encoders else [rate]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW. It works element by element, so stacking changes no LoRA."""
        groups = [
            {"params": self.units.of_model(encoders), "lr": rate}
            for encoders, rate in zip((False, True), self._rates(), strict=False)
        ]
        recipe = self.recipe
        return adamw(groups, recipe.learning_rate, recipe.weight_decay, eight_bit=recipe.eight_bit)

    def loras(self) -> list[LoRA]:
        """Return the LoRAs as trained so far, as their files would hold them in fp32."""
        return [self.units.lora(number) for number in range(len(self.names))]


def describe_divergence(steps: Mapping[str, int]) -> str:
    """Return the message about LoRAs that diverged, each with its step."""
    listed = ", ".join(f"{name} (step {step})" for name, step in steps.items())
    return f"expected finite losses, found others in the training of {len(steps)} LoRAs: {listed}; {_ADVICE}"


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
    accumulate: int = 1,
    latents: Path | None = None,
    save_precision: SavePrecision = "fp16",
    format: str | None = None,
    recipe_name: str = "",
) -> list[Path]:
    """Train a LoRA for each concept and write `folder/<name>.safetensors` with a card for each.

    Finished LoRAs are kept and skipped. Groups are those of all concepts, and an interrupted group is trained whole
    from its checkpoint in `runs`, so it ends with the bytes of an uninterrupted one. A LoRA that diverges is left out;
    the others are trained and written first.

    Args:
        backbone: The base.
        concepts: Concepts with images and captions.
        recipe: How each LoRA is trained.
        folder: Folder for the LoRAs.
        runs: Folder for checkpoints.
        group: LoRAs trained at once.
        checkpoint_every: Steps between checkpoints.
        dtype: "fp32", or "bf16" for a base in bf16; what is trained stays in fp32.
        accumulate: Parts in which a step's images are computed one after another, to save memory; the step is the same.
        latents: Folder of encoded images, see `lorarar.training.batches.encode_concept`; None keeps none.
        save_precision: Type of the weights in the files.
        format: Dialect of files that hold factors alone, see `lorarar.save`; None for the base's usual one.
        recipe_name: Name of the recipe, for the cards.

    Returns:
        The paths of all LoRAs, in the order of the concepts.

    Raises:
        ArtefactError: `folder` holds a LoRA of another recipe, or one that differs from its card.
        ConfigError: The recipe contradicts itself.
        DivergenceError: A LoRA diverged.
        ValueError: The recipe does not fit the base.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {concept.name: folder / f"{concept.name}.safetensors" for concept in concepts}
    left = set(unfinished(concepts, recipe, folder))
    diverged: dict[str, int] = {}
    for whole in zoo_groups(concepts, recipe, group):
        members = [concept for concept in whole if concept.name in left]
        if not members:
            continue
        if (runs / _run_name(whole, recipe)).exists():  # interrupted while its files were written
            members = whole
        module = ZooTraining(backbone, members, recipe, accumulate=accumulate, latents=latents)
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
        diverged |= module.diverged_units()
        for number, concept in enumerate(members):
            if concept.name not in diverged:
                path = paths[concept.name]
                write_unit(
                    module.units,
                    number,
                    concept,
                    path,
                    dtype=save_precision,
                    format=format,
                    recipe_name=recipe_name,
                )
        shutil.rmtree(run)
    if diverged:
        raise DivergenceError(describe_divergence(diverged))
    return list(paths.values())


def _run_name(members: Sequence[Concept], recipe: Recipe) -> str:
    """Return the name of a group's run: a checkpoint of other members or of another recipe must not be resumed from."""
    identity = {"recipe": stated(recipe), "concepts": [member.name for member in members]}
    return f"{members[0].name}_{len(members)}_{digest(identity)[:16]}"


def zoo_groups(concepts: Sequence[Concept], recipe: Recipe, size: int) -> Iterator[list[Concept]]:
    """Yield concepts of equal training length, at most `size` together: those that are trained in one batch."""
    lengths: dict[int, list[Concept]] = {}
    for concept in concepts:
        lengths.setdefault(recipe.steps_of(concept.name), []).append(concept)
    for members in lengths.values():
        for start in range(0, len(members), size):
            yield members[start : start + size]
