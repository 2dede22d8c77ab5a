"""Pair method: a merger that optimises the coefficients of each pair, as data that is readable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.recipe import MergerRecipe

if TYPE_CHECKING:
    from lorarar.hypernetwork import ConstantMerger
    from lorarar.lora import LoRA


@dataclass(frozen=True)
class PairMethod:
    """Merger whose coefficients are parameters, optimised for each pair with the hypernetwork's objective.

    Attributes:
        group: "column" for a coefficient for each LoRA and column of a layer's delta, "rank" for one for each LoRA and
            direction of its rank, "layer" for one for each LoRA and layer.
        predicted: Projections whose layers are optimised.
        recipe: Steps, learning rate, weight decay and clip of the optimisation.
        weights: Weights of the objective's terms.
        start: Coefficient before the first step, where no trained merger predicts it.
        fixed: Coefficient of all other layers, for both LoRAs.
        images: Number of images of each concept in a step.
        patience: Steps without a new minimum of the smoothed loss after which a pair stops; 0 never stops it.
        seed: Seed of the choice of images, of timesteps and of noise.

    Raises:
        ValueError: A number is out of its range.
    """

    group: Literal["column", "rank", "layer"]
    predicted: tuple[str, ...]
    recipe: MergerRecipe
    weights: LossWeights
    start: float = 1.0
    fixed: float = 1.0
    images: int = 1
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.recipe.steps, self.images) < 1 or self.recipe.learning_rate <= 0 or self.patience < 0:
            raise ValueError(
                "expected steps and images of at least 1, a learning_rate above 0 and a patience of at least 0, found "
                f"steps {self.recipe.steps}, images {self.images}, learning_rate {self.recipe.learning_rate}, patience "
                f"{self.patience}: choose others"
            )

    @property
    def needs(self) -> Literal["images", "descriptions"]:
        """Input of both concepts that the objective needs, besides their LoRAs and the base model."""
        return "descriptions" if self.weights.distillation else "images"

    def options(self) -> dict[str, float | int]:
        """Return the settings that are numbers, by the names that `configured` takes."""
        return {
            "steps": self.recipe.steps,
            "learning_rate": self.recipe.learning_rate,
            "similarity": self.weights.similarity,
            "combined": self.weights.combined,
            "start": self.start,
            "fixed": self.fixed,
            "images": self.images,
            "patience": self.patience,
            "seed": self.seed,
        }

    def configured(self, options: Mapping[str, float | int]) -> PairMethod:
        """Return the same method with other numbers, by the names in `options`."""
        values = {**self.options(), **options}
        return replace(
            self,
            recipe=replace(self.recipe, steps=int(values["steps"]), learning_rate=values["learning_rate"]),
            weights=replace(self.weights, similarity=values["similarity"], combined=values["combined"]),
            start=values["start"],
            fixed=values["fixed"],
            images=int(values["images"]),
            patience=int(values["patience"]),
            seed=int(values["seed"]),
        )

    def initial(self, loras: Sequence[LoRA]) -> ConstantMerger:
        """Return the coefficients before the first step, all `start` where they are optimised.

        Raises:
            NothingPredictedError: The LoRAs have no layer to optimise.
        """
        from lorarar.hypernetwork import (  # not above: they import torch
            ConstantConfig,
            ConstantMerger,
            NothingPredictedError,
            sized_config,
        )
        from lorarar.lora import label

        config = ConstantConfig((), self.group, len(loras), self.start, self.predicted, self.fixed)
        sized = sized_config(config, loras)
        if not sized.groups:
            layer = "layer that is of low rank in every LoRA" if self.group == "rank" else "linear layer"
            found = " and ".join(f"{label(lora, n)} ({len(lora.layers)} layers)" for n, lora in enumerate(loras))
            raise NothingPredictedError(
                f"expected a {layer} among {', '.join(self.predicted)}, found none in {found}, so there is "
                "nothing to optimise: merge them by `merger=auto`"
            )
        return ConstantMerger(sized)
