"""Table of the algorithms that are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lorarar.diffusion import Stack
from lorarar.training.algorithms import dora, full, glora, ia3, loha, lokr, lora, oft
from lorarar.training.algorithms.parts import Parts, factored_alpha, rank_problem
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import AlgorithmName, Recipe


def _no_constants(layer: TrainedLayer, recipe: Recipe, scale: float) -> dict[str, Tensor]:
    return {}


def _no_problem(layer: TrainedLayer, recipe: Recipe) -> str:
    return ""


@dataclass(frozen=True)
class TrainedAlgorithm:
    """A form of the delta that can be trained.

    Attributes:
        initial: Maps a layer, a recipe and random numbers to the layer's initial parts: role in files -> tensor.
        stack: Maps a layer, a recipe, the parts of n LoRAs (n, ..) and their scales to their deltas.
        constants: Maps a layer, a recipe and a LoRA's scale to the further numbers of its file.
        problem: Maps a layer and a recipe to why the layer cannot be trained, or an empty text.
    """

    initial: Callable[[TrainedLayer, Recipe, torch.Generator], dict[str, Tensor]]
    stack: Callable[[TrainedLayer, Recipe, Parts, float | Tensor], Stack]
    constants: Callable[[TrainedLayer, Recipe, float], dict[str, Tensor]] = factored_alpha
    problem: Callable[[TrainedLayer, Recipe], str] = rank_problem


_LORA = TrainedAlgorithm(lora.initial, lora.stack, problem=lora.problem)
TRAINED: Mapping[AlgorithmName, TrainedAlgorithm] = {
    "lora": _LORA,
    "locon": _LORA,
    "loha": TrainedAlgorithm(loha.initial, loha.stack),
    "lokr": TrainedAlgorithm(lokr.initial, lokr.stack, problem=_no_problem),
    "dora": TrainedAlgorithm(dora.initial, dora.stack),
    "ia3": TrainedAlgorithm(ia3.initial, ia3.stack, ia3.constants, _no_problem),
    "diag-oft": TrainedAlgorithm(oft.initial, oft.stack, oft.constants, _no_problem),
    "boft": TrainedAlgorithm(oft.initial_butterfly, oft.stack, oft.constants, oft.butterfly_problem),
    "glora": TrainedAlgorithm(glora.initial, glora.stack),
    "full": TrainedAlgorithm(full.initial, full.stack, _no_constants, _no_problem),
}
