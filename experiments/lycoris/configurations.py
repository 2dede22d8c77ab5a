"""The 26 configurations of the LyCORIS experiment, and its checkpoints, seeds and classes.

Reference: Yeh et al., "Navigating Text-To-Image Customization", arXiv 2309.14859, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lorarar.training import Recipe

SEEDS = (0, 1, 2)
CHECKPOINTS = (40, 120, 200)  # steps of 2 images: 20, 60 and 100 times each of the 4 images of a class
CONTENTS = tuple(f"validation_content_{i:02d}" for i in (1, 2, 4, 7))
STYLES = tuple(f"validation_style_{i:02d}" for i in (1, 3, 4, 6))
IMAGES = 8  # of a class, a type of prompt and a checkpoint
PROMPTS = 2  # that these images share
# Rates, low, middle and high, of each algorithm; capacities with about equal numbers of parameters.
RATES = {"LoRA": (5e-4, 1.5e-3, 5e-3), "LoHa": (1e-3, 3e-3, 1e-2), "LoKr": (5e-4, 1.5e-3, 5e-3)}
CAPACITIES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "LoRA": ({"rank": 4, "alphas": (2.0,)}, {"rank": 16, "alphas": (8.0,)}),
    "LoHa": ({"rank": 2, "alphas": (1.0,)}, {"rank": 8, "alphas": (4.0,)}),
    "LoKr": ({"rank": 1000, "factor": 8}, {"rank": 1000, "factor": 4}),
}
NATIVE_RATES = (5e-5, 2e-4)


@dataclass(frozen=True)
class Configuration:
    """One configuration.

    Attributes:
        algorithm: "LoRA", "LoHa", "LoKr" or "native".
        preset: Layers that are trained.
        capacity: 0 or 1.
        rate: 0 (low), 1 (middle) or 2 (high).
        recipe: The recipe, without the seed.
    """

    algorithm: str
    preset: str
    capacity: int
    rate: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """Return the name, such as "LoRA attn-mlp capacity 0 rate 1"."""
        return f"{self.algorithm} {self.preset} capacity {self.capacity} rate {self.rate}"


def configurations() -> Iterator[Configuration]:
    """Yield for each algorithm six of preset attn-mlp, one of attn-only and one of full; then two native ones."""
    for algorithm in CAPACITIES:
        yield from (_configured(algorithm, "attn-mlp", capacity, rate) for capacity in (0, 1) for rate in (0, 1, 2))
        yield from (_configured(algorithm, preset, 0, 1) for preset in ("attn-only", "full"))
    for rate, value in zip((0, 2), NATIVE_RATES, strict=True):
        yield Configuration("native", "attn-mlp", 1, rate, _recipe(value, algorithm="full", preset="attn-mlp"))


def _configured(algorithm: str, preset: str, capacity: int, rate: int) -> Configuration:
    name = "locon" if algorithm == "LoRA" and preset == "full" else algorithm.lower()
    settings = CAPACITIES[algorithm][capacity] | ({"full_matrix": True} if algorithm == "LoKr" else {})
    recipe = _recipe(RATES[algorithm][rate], algorithm=name, preset=preset, **settings)
    return Configuration(algorithm, preset, capacity, rate, recipe)


def _recipe(rate: float, **settings: Any) -> Recipe:
    common = {"rank": 1, "alphas": (1.0,), "steps": CHECKPOINTS[-1], "images": 2, "learning_rate": rate}
    return Recipe(**common | settings)
