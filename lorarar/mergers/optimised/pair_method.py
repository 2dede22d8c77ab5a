"""How a learned merger, or the coefficients of one pair, are optimised: settings as data."""

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
    """A merger whose coefficients are parameters, optimised for each pair from 1 with the hypernetwork's objective.

    Args:
        group: "column": one number for each LoRA and column of a layer's delta; "layer": one for each LoRA and layer.
        predicted: Projections whose layers are optimised.
        recipe: Steps, rate, weight decay, clip.
        weights: What the objective is made of.
        fixed: Coefficient of all other layers, for both LoRAs.
        images: Images of each concept in a step.
        patience: Steps without a new minimum of the smoothed loss before a pair stops; 0 for never.
        seed: Of the images, timesteps and noise.

    Raises:
        ValueError: A number is out of its range.
    """

    group: Literal["column", "layer"]
    predicted: tuple[str, ...]
    recipe: MergerRecipe
    weights: LossWeights
    fixed: float = 1.0
    images: int = 1
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.recipe.steps, self.images) < 1 or self.recipe.learning_rate <= 0 or self.patience < 0:
            raise ValueError(
                "expected steps and images of at least 1, a learning_rate above 0 and a patience of at least 0, found "
                f"steps {self.recipe.steps}, images {self.images}, learning_rate {self.recipe.learning_rate}, patience "
                f"{self.patience}"
            )

    @property
    def needs(self) -> Literal["images", "descriptions"]:
        """What the objective asks of both concepts, besides their LoRAs and the base model."""
        return "descriptions" if self.weights.distillation else "images"

    def options(self) -> dict[str, float | int]:
        """The settings that are numbers, by the names that `configured` takes."""
        return {
            "steps": self.recipe.steps,
            "learning_rate": self.recipe.learning_rate,
            "similarity": self.weights.similarity,
            "combined": self.weights.combined,
            "fixed": self.fixed,
            "images": self.images,
            "patience": self.patience,
            "seed": self.seed,
        }

    def configured(self, options: Mapping[str, float | int]) -> PairMethod:
        """The same method with other numbers, all of `options`."""
        given = {**self.options(), **options}
        return replace(
            self,
            recipe=replace(self.recipe, steps=int(given["steps"]), learning_rate=given["learning_rate"]),
            weights=replace(self.weights, similarity=given["similarity"], combined=given["combined"]),
            fixed=given["fixed"],
            images=int(given["images"]),
            patience=int(given["patience"]),
            seed=int(given["seed"]),
        )

    def initial(self, loras: Sequence[LoRA]) -> ConstantMerger:
        """The coefficients before the first step, all 1 where they are optimised.

        Raises:
            ValueError: The LoRAs have no layer that is optimised.
        """
        from lorarar.hypernetwork import (  # torch: methods as data do without
            ConstantConfig,
            ConstantMerger,
            sized_config,
        )

        config = ConstantConfig((), self.group, len(loras), predicted=self.predicted, fixed=self.fixed)
        return ConstantMerger(sized_config(config, loras))
