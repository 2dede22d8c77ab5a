"""Pruning: TIES, DARE, DELLA and breadcrumbs, which prune each delta and add the remaining entries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from lorarar.lora import Dense, Layer
from lorarar.mergers.methods.layers import present


@dataclass(frozen=True)
class Pruning:
    """Member of the family.

    Attributes:
        mask: Function (delta, density, generator, ..) -> factor of each entry: 0 where it is dropped, else 1, or a
            larger number that makes up for the dropped entries.
        elect: Whether the masked deltas are averaged where they agree in sign with their sum (TIES); else they are
            added.
    """

    mask: Callable[..., Tensor]
    elect: bool


def keep_largest(delta: Tensor, density: float, generator: Generator) -> Tensor:
    """Return a mask that keeps the share `density` of largest magnitude (arXiv 2306.01708, "trim").

    Entries whose magnitude equals that of the smallest one kept are kept too.
    """
    magnitudes = delta.abs()
    count = max(1, int(density * delta.numel()))
    return magnitudes.ge(_smallest(magnitudes, delta.numel() - count + 1)).to(delta.dtype)


def keep_random(delta: Tensor, density: float, generator: Generator) -> Tensor:
    """Return a mask that keeps each entry with probability `density`, divided by it (arXiv 2311.03099, equation 3)."""
    return _uniform(delta, generator).lt(density).to(delta.dtype) / density


def keep_ranked(delta: Tensor, density: float, generator: Generator, epsilon: float) -> Tensor:
    """Return a mask that keeps an entry with a probability p by the rank of its magnitude in its row, divided by p.

    p grows evenly from density - epsilon to density + epsilon (arXiv 2406.11617, "MagPrune").

    Raises:
        ValueError: epsilon is out of range.
    """
    if density == 1:
        return torch.ones_like(delta)
    if not (epsilon >= 0 and density - epsilon > 0 and density + epsilon <= 1):
        raise ValueError(
            f"expected density - epsilon > 0 and density + epsilon <= 1, found density {density} and epsilon "
            f"{epsilon}: choose a smaller epsilon"
        )
    order = delta.abs().argsort(dim=-1)
    even = torch.linspace(density - epsilon, density + epsilon, delta.shape[-1], dtype=delta.dtype, device=delta.device)
    p = torch.empty_like(delta).scatter_(-1, order, even.expand_as(delta))
    return _uniform(delta, generator).lt(p).to(delta.dtype) / p


def keep_middle(delta: Tensor, density: float, generator: Generator, gamma: float) -> Tensor:
    """Return a mask that drops the largest entries, a share `gamma`, then the smallest until a share `density` is left.

    Raises:
        ValueError: gamma is out of range.

    Reference:
        Model Breadcrumbs, arXiv 2312.06795.
    """
    if not 0 <= gamma < 1:
        raise ValueError(f"expected gamma of at least 0 and less than 1, found {gamma}: choose another share")
    magnitudes, count = delta.abs(), delta.numel()
    remaining = max(1, int(density * count))
    dropped = min(int(gamma * count), count - remaining)
    lowest = _smallest(magnitudes, count - dropped - remaining + 1)
    highest = _smallest(magnitudes, count - dropped)
    return (magnitudes.ge(lowest) & magnitudes.le(highest)).to(delta.dtype)


PRUNINGS: Mapping[str, Pruning] = {
    "ties": Pruning(keep_largest, elect=True),
    "magnitude_prune": Pruning(keep_largest, elect=False),
    "dare": Pruning(keep_random, elect=False),
    "dare_ties": Pruning(keep_random, elect=True),
    "della": Pruning(keep_ranked, elect=True),
    "della_linear": Pruning(keep_ranked, elect=False),
    "breadcrumbs": Pruning(keep_middle, elect=False),
    "breadcrumbs_ties": Pruning(keep_middle, elect=True),
}


def prune(
    pruning: Pruning, deltas: Sequence[Layer | None], *, layer: str, density: float, seed: int = 0, **extra: float
) -> Dense:
    """Return dW_m, the sum or the elected mean of mask_i * dW_i, for one layer.

    Args:
        pruning: The member of the family.
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where a LoRA lacks the layer.
        layer: Path of the layer, which the random masks depend on beside the seed.
        density: Share of the entries to keep, above 0, at most 1.
        seed: Seed of the random masks, which are the same on every device.
        extra: Own options of the mask.

    Raises:
        ValueError: The density or another option is out of range.

    Reference:
        TIES arXiv 2306.01708; the names of the variants are those of mergekit.
    """
    first = present(deltas)[0]
    dense = {i: delta.delta() for i, delta in enumerate(deltas) if delta is not None}
    return Dense(prune_and_merge(pruning, dense, layer=layer, density=density, seed=seed, **extra), first.kernel)


def prune_and_merge(
    pruning: Pruning, tensors: Mapping[int, Tensor], *, layer: str, density: float, seed: int = 0, **extra: float
) -> Tensor:
    """Return the sum or the elected mean of masked tensors of one shape; `tensors` has the number of the LoRA as key.

    `prune` calls it with deltas, KnOTS with the factors V_i^T of its shared basis.

    Raises:
        ValueError: The density or an option of the mask is out of range.
    """
    if not 0 < density <= 1:
        raise ValueError(f"expected a density above 0 and at most 1, found {density}: choose another share")
    masked = []
    for i, tensor in tensors.items():
        masked.append(tensor * pruning.mask(tensor, density, _generator(seed, layer, i), **extra))
    stacked = torch.stack(masked)
    return elected_mean(stacked) if pruning.elect else stacked.sum(0)


def elected_mean(tensors: Tensor) -> Tensor:
    """Return the mean of the entries whose sign is that of their sum, (n, ..) -> (..); 0 where no entry has it."""
    agree = tensors * tensors.sum(0).sign() > 0
    return (tensors * agree).sum(0) / agree.sum(0).clamp(min=1)


def _smallest(magnitudes: Tensor, k: int) -> Tensor:
    """Return the k-th smallest of all entries, counted from 1."""
    return magnitudes.flatten().kthvalue(k).values


def _generator(seed: int, layer: str, index: int) -> Generator:
    """Return a CPU generator for one LoRA's layer, so that neither the device nor the order of layers matters."""
    digest = hashlib.sha256(f"{seed} {index} {layer}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator).to(like.device)
