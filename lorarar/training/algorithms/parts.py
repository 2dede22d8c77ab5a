"""Parts of a layer: random beginnings, the Tucker form, and the check of a rank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe

Parts = Mapping[str, Tensor]
_LATENT_ENDS = ("conv_in", "conv_out")  # as narrow as the latents; LyCORIS trains them at any rank


def uniform(shape: Sequence[int], fan_in: int, random: torch.Generator) -> Tensor:
    """Return numbers uniform in +-1/sqrt(fan_in), as torch, peft and LyCORIS begin linear layers."""
    numbers = torch.rand(*shape, generator=random) * 2 - 1
    return numbers * float(fan_in**-0.5)


def normal(shape: Sequence[int], std: float, random: torch.Generator) -> Tensor:
    """Return normal numbers."""
    return torch.randn(*shape, generator=random) * std


def has_core(layer: TrainedLayer, recipe: Recipe) -> bool:
    """Tell whether a layer is trained in Tucker form."""
    return recipe.tucker and layer.is_wide


def fold_core(core: Tensor, down: Tensor) -> Tensor:
    """Multiply Tucker cores by down factors: (n, p, q, height, width) x_2 (n, q, in) -> (n, p, in height width)."""
    return torch.einsum("npqk,nqi->npik", core.flatten(3), down.flatten(2)).flatten(2)


def row_norms(rows: Tensor) -> Tensor:
    """Return the lengths of rows (.., out, in) as (.., out, 1)."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return norms


def per_row(layer: TrainedLayer, values: Tensor) -> Tensor:
    """Return one number a row in the shape of files: (out, 1), (out, 1, 1, 1) for a convolution."""
    return values.reshape(-1, 1, *[1] * len(layer.kernel))


def factored_alpha(layer: TrainedLayer, recipe: Recipe, scale: float) -> dict[str, Tensor]:
    """Return the alpha of a file, which is divided by the rank whatever the recipe's scale is."""
    return {"alpha": torch.tensor(scale * recipe.rank_of(layer.is_wide), dtype=torch.float32)}


def rank_problem(layer: TrainedLayer, recipe: Recipe) -> str:
    """Return why a layer cannot have factors of the recipe's rank, or an empty text."""
    out, width = layer.out, layer.channels * math.prod(layer.kernel)
    rank, key = recipe.rank_of(layer.is_wide), "conv_rank" if layer.is_wide and recipe.conv_rank else "rank"
    if rank <= min(out, width) or layer.path in _LATENT_ENDS:
        return ""
    return f"recipe.{key}={rank} is above the {out} x {width} weight of {layer.path}: at most {min(out, width)}"
