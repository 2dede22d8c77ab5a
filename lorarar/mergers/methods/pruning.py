"""Pruning: TIES, DARE, DELLA and breadcrumbs, which prune each delta and add the remaining entries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from lorarar.lora import Dense, Layer
from lorarar.mergers.methods.layers import present

_ROWS = 64  # rows whose signs are elected at once: few enough for a CPU's cache


@dataclass(frozen=True)
class Pruning:
    """Member of the family.

    Attributes:
        keep: Function (delta, density, generator, ..) -> the delta with 0 where an entry is dropped; the others may be
            multiplied to make up for these.
        elect: Whether the pruned deltas are averaged where they agree in sign with their sum (TIES); else they are
            added.
    """

    keep: Callable[..., Tensor]
    elect: bool


def keep_largest(delta: Tensor, density: float, generator: Generator) -> Tensor:
    """Keep the share `density` of largest magnitude (arXiv 2306.01708, "trim").

    Entries whose magnitude equals that of the smallest one kept are kept too.
    """
    count = max(1, int(density * delta.numel()))
    return _at_least(delta, _smallest(delta, delta.numel() - count + 1))


def keep_random(delta: Tensor, density: float, generator: Generator) -> Tensor:
    """Keep each entry with probability `density`, divided by it (arXiv 2311.03099, equation 3)."""
    return delta * _uniform(delta, generator).lt_(density).div_(density)


def keep_ranked(delta: Tensor, density: float, generator: Generator, epsilon: float) -> Tensor:
    """Keep an entry with a probability p by the rank of its magnitude in its row, divided by p.

    p grows evenly from density - epsilon to density + epsilon (arXiv 2406.11617, "MagPrune").

    Raises:
        ValueError: epsilon is out of range.
    """
    if density == 1:
        return delta
    if not (epsilon >= 0 and density - epsilon > 0 and density + epsilon <= 1):
        raise ValueError(
            f"expected density - epsilon > 0 and density + epsilon <= 1, found density {density} and epsilon "
            f"{epsilon}: choose a smaller epsilon"
        )
    order = _ascending_rows(delta.detach().abs())
    even = torch.linspace(density - epsilon, density + epsilon, delta.shape[-1], dtype=delta.dtype, device=delta.device)
    p = torch.empty_like(delta).scatter_(-1, order, even.expand_as(delta))
    return delta * _uniform(delta, generator).lt_(p).div_(p)


def keep_middle(delta: Tensor, density: float, generator: Generator, gamma: float) -> Tensor:
    """Drop the largest entries, a share `gamma`, then the smallest until a share `density` is left.

    Raises:
        ValueError: gamma is out of range.

    Reference:
        Model Breadcrumbs, arXiv 2312.06795.
    """
    if not 0 <= gamma < 1:
        raise ValueError(f"expected gamma of at least 0 and less than 1, found {gamma}: choose another share")
    count = delta.numel()
    remaining = max(1, int(density * count))
    dropped = min(int(gamma * count), count - remaining)
    lowest, highest = _smallest(delta, count - dropped - remaining + 1), _smallest(delta, count - dropped)
    return _at_least(delta, lowest).mul_(delta.abs().le(highest))


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
    """Return dW_m, the sum or the elected mean of the pruned dW_i, for one layer.

    Args:
        pruning: The member of the family.
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where a LoRA lacks the layer.
        layer: Path of the layer, which the random masks depend on beside the seed.
        density: Share of the entries to keep, above 0, at most 1.
        seed: Seed of the random masks, which are the same on every device.
        extra: Own options of the pruning.

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
    """Return the sum or the elected mean of pruned tensors of one shape; `tensors` has the number of the LoRA as key.

    `prune` calls it with deltas, KnOTS with the factors V_i^T of its shared basis.

    Raises:
        ValueError: The density or an option of the pruning is out of range.
    """
    if not 0 < density <= 1:
        raise ValueError(f"expected a density above 0 and at most 1, found {density}: choose another share")
    kept = [pruning.keep(tensor, density, _generator(seed, layer, i), **extra) for i, tensor in tensors.items()]
    return elected_mean(kept) if pruning.elect else sum(kept[1:], kept[0])


def elected_mean(tensors: Sequence[Tensor]) -> Tensor:
    """Return the mean of the entries whose sign is that of their sum, 0 where no entry has it.

    Args:
        tensors: One or more tensors of one shape (rows, ..).
    """
    mean = torch.empty_like(tensors[0])
    for start in range(0, len(mean), _ROWS):
        block = slice(start, start + _ROWS)
        parts = [tensor[block] for tensor in tensors]
        sign = sum(parts[1:], parts[0]).sign()
        total, count = torch.zeros_like(sign), torch.zeros_like(sign)
        for part in parts:
            agreeing = (part * sign).relu_()
            total += agreeing
            count += agreeing.sign_()
        torch.mul(total, sign, out=mean[block]).div_(count.clamp_(min=1))
    return mean


def _smallest(delta: Tensor, k: int) -> Tensor:
    """Return the k-th smallest magnitude of all entries, counted from 1, a scalar ()."""
    magnitudes = delta.detach().abs().flatten()
    if magnitudes.device.type != "cpu":
        return magnitudes.kthvalue(k).values
    magnitudes.numpy().partition(k - 1)  # in place, several times faster than kthvalue
    return magnitudes[k - 1]


def _at_least(delta: Tensor, magnitude: Tensor) -> Tensor:
    """Return the delta with 0 where an entry is smaller than a magnitude ()."""
    below = torch.nextafter(magnitude, magnitude.new_tensor(-1.0))
    return torch.nn.functional.hardshrink(delta, float(below))


def _ascending_rows(magnitudes: Tensor) -> Tensor:
    """Return the order of the entries of each row, smallest first."""
    if magnitudes.device.type != "cpu":
        return magnitudes.argsort(dim=-1)
    return torch.from_numpy(magnitudes.numpy().argsort(axis=-1))  # several times faster than torch's


def _generator(seed: int, layer: str, index: int) -> Generator:
    """Return a CPU generator for one LoRA's layer, so that neither the device nor the order of layers matters."""
    digest = hashlib.sha256(f"{seed} {index} {layer}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator).to(like)
