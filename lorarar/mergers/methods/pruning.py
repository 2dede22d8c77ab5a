"""TIES, DARE, DELLA, breadcrumbs: thin out each delta, then add what is left. One function, the variants are data."""

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
    """A member of the family.

    Args:
        mask: (delta, density, generator, ..) -> what each entry is multiplied with: 0 where it is dropped, else 1 or
            what makes up for the dropped ones.
        elect: Whether the masked deltas are averaged where they agree in sign with their sum (TIES), or just added.
    """

    mask: Callable[..., Tensor]
    elect: bool


def keep_largest(delta: Tensor, density: float, generator: Generator) -> Tensor:
    """Keeps the share `density` of largest magnitude (arXiv 2306.01708, "trim"); ties at the edge all stay."""
    magnitudes = delta.abs()
    kept = max(1, int(density * delta.numel()))
    return magnitudes.ge(_smallest(magnitudes, delta.numel() - kept + 1)).to(delta.dtype)


def keep_random(delta: Tensor, density: float, generator: Generator) -> Tensor:
    """Keeps each entry with probability `density` and divides it by that (arXiv 2311.03099, equation 3)."""
    return _uniform(delta, generator).lt(density).to(delta.dtype) / density


def keep_ranked(delta: Tensor, density: float, generator: Generator, epsilon: float) -> Tensor:
    """Keeps an entry with a probability p that grows with its magnitude's rank in its row, and divides it by p.

    p rises evenly from density - epsilon to density + epsilon (arXiv 2406.11617, "MagPrune").
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
    """Drops the share `gamma` of largest magnitude, then the smallest until `density` is left (arXiv 2312.06795)."""
    if not 0 <= gamma < 1:
        raise ValueError(f"expected a share gamma of at least 0 and less than 1, found {gamma}")
    magnitudes, count = delta.abs(), delta.numel()
    kept = max(1, int(density * count))
    top = min(int(gamma * count), count - kept)
    lowest, highest = _smallest(magnitudes, count - top - kept + 1), _smallest(magnitudes, count - top)
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


def pruned(
    pruning: Pruning, deltas: Sequence[Layer | None], *, layer: str, density: float, seed: int = 0, **extra: float
) -> Dense:
    """dW_m = sum or elected mean of mask_i * dW_i, for one layer.

    Args:
        pruning: The member of the family.
        deltas: One delta (out, in) for each LoRA, with its weight in it; None where the LoRA lacks the layer.
        layer: Its path, which the random masks depend on beside the seed.
        density: Share of the entries to keep, above 0, at most 1.
        seed: Of the random masks; the same on every device.
        extra: The mask's own options.

    Raises:
        ValueError: The density or another option is out of range.

    Reference:
        TIES arXiv 2306.01708; the names of the variants are those of mergekit.
    """
    first = present(deltas)[0]
    dense = {i: delta.delta() for i, delta in enumerate(deltas) if delta is not None}
    return Dense(thinned(pruning, dense, layer=layer, density=density, seed=seed, **extra), first.kernel)


def thinned(
    pruning: Pruning, tensors: Mapping[int, Tensor], *, layer: str, density: float, seed: int = 0, **extra: float
) -> Tensor:
    """As `pruned`, on tensors of one shape by the LoRA's number; KnOTS gives the factors of its shared basis."""
    if not 0 < density <= 1:
        raise ValueError(f"expected a density above 0 and at most 1, found {density}")
    kept = torch.stack([x * pruning.mask(x, density, _generator(seed, layer, i), **extra) for i, x in tensors.items()])
    return elected_mean(kept) if pruning.elect else kept.sum(0)


def elected_mean(tensors: Tensor) -> Tensor:
    """The mean of the entries that are not 0 and have the sign of their sum, (n, ..) -> (..); 0 where none is left."""
    agree = tensors * tensors.sum(0).sign() > 0
    return (tensors * agree).sum(0) / agree.sum(0).clamp(min=1)


def _smallest(magnitudes: Tensor, k: int) -> Tensor:
    """The k-th smallest of all entries, counted from 1."""
    return magnitudes.flatten().kthvalue(k).values


def _generator(seed: int, layer: str, index: int) -> Generator:
    """On the CPU, and of the layer's own, so that neither the device nor the order of layers matters."""
    digest = hashlib.sha256(f"{seed} {index} {layer}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator).to(like.device)
