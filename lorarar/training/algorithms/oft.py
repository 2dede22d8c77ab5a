"""Diag-OFT and BOFT, dW = rescale R W0 - W0 with an orthogonal R: a learned rotation of the base's rows, at first I.

Reference: OFT, arXiv 2306.07280, section 3.2 (Cayley's R = (I + Q)(I - Q)^-1, Q = P - P^T); BOFT, arXiv 2311.06243,
section 4: a product of stages, each mixing rows twice as far apart as the one before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.diffusion import StackedDense
from lorarar.training.algorithms.lokr import split
from lorarar.training.algorithms.parts import Parts, per_row
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe


def initial(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return "oft_blocks" P, (blocks, size, size), and "rescale" (out, 1[, 1, 1]) with `rescaled`."""
    size, blocks = split(layer.out, recipe.rank)
    return {"oft_blocks": torch.zeros(blocks, size, size)} | _rescale(layer, recipe)


def initial_butterfly(layer: TrainedLayer, recipe: Recipe, random: torch.Generator) -> dict[str, Tensor]:
    """Return "oft_blocks" P, (stages, blocks, size, size), and "rescale" with `rescaled`."""
    size, blocks = split_in_powers(layer.out, recipe.rank)
    return {"oft_blocks": torch.zeros(blocks.bit_length(), blocks, size, size)} | _rescale(layer, recipe)


def stack(layer: TrainedLayer, recipe: Recipe, parts: Parts, scale: float | Tensor) -> StackedDense:
    """Return dW of n LoRAs."""
    rows, rotations = layer.weight(), _cayley(parts["oft_blocks"], recipe.constraint * layer.out)
    if rotations.ndim == 4:
        blocks = rows.unflatten(0, rotations.shape[1:3])
        rotated = (rotations.mT @ blocks).flatten(1, 2)
    else:
        rotated = rows.expand(len(rotations), -1, -1)
        for stage in range(rotations.shape[1]):
            rotated = _mix(rotations[:, stage], rotated, stage)
    if "rescale" in parts:
        rotated = parts["rescale"].flatten(2) * rotated
    return StackedDense(rotated - rows)


def constants(layer: TrainedLayer, recipe: Recipe, scale: float) -> dict[str, Tensor]:
    """Return the limit of the rotation, which is called alpha in files."""
    return {"alpha": torch.tensor(recipe.constraint, dtype=torch.float32)}


def butterfly_problem(layer: TrainedLayer, recipe: Recipe) -> str:
    """Return why the rows do not fall into blocks, or an empty text."""
    if split_in_powers(layer.out, recipe.rank)[1]:
        return ""
    return (
        f"boft needs an even size of at most recipe.rank={recipe.rank} that divides the {layer.out} rows of "
        f"{layer.path} into a power of two blocks"
    )


def split_in_powers(out: int, limit: int) -> tuple[int, int]:
    """Return the largest even size up to a limit that divides the rows into 2^p blocks, and 2^p; (0, 0) for none."""
    for size in range(limit - limit % 2, 0, -2):
        blocks, rest = divmod(out, size)
        if not rest and blocks and not blocks & (blocks - 1):
            return size, blocks
    return 0, 0


def _rescale(layer: TrainedLayer, recipe: Recipe) -> dict[str, Tensor]:
    return {"rescale": per_row(layer, torch.ones(layer.out))} if recipe.rescaled else {}


def _cayley(blocks: Tensor, bound: float) -> Tensor:
    """Return R of n LoRAs' blocks (n, .., size, size). A bound above 0 limits the norm of each LoRA's Q."""
    skew = blocks - blocks.mT
    if bound:
        lengths = torch.linalg.vector_norm(skew.flatten(1), dim=1) + 1e-8
        skew = skew * (bound / lengths).clamp(max=1.0).view(-1, *[1] * (skew.ndim - 1))
    identity = torch.eye(blocks.shape[-1], device=blocks.device)
    # (I + Q) and (I - Q)^-1 commute, so one linear solve is enough.
    rotations: Tensor = torch.linalg.solve(identity - skew, identity + skew)
    return rotations


def _mix(rotation: Tensor, rows: Tensor, stage: int) -> Tensor:
    """Apply one stage, (n, blocks, size, size) on (n, out, in)."""
    n, blocks, size, _ = rotation.shape
    half = (size // 2) << stage
    paired = rows.reshape(n, -1, 2, half, rows.shape[-1]).transpose(2, 3).reshape(n, blocks, size, -1)
    return (rotation @ paired).reshape(n, -1, half, 2, rows.shape[-1]).transpose(2, 3).reshape(rows.shape)
