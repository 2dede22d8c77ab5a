"""What can be told of a LoRA's layers, beside other LoRAs', without knowing width, rank or factorisation."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from lorarar.lora import LoRA, LowRank, factorise, projection

FEATURES, DESCRIPTION = 8, 12
_TINY, _LITTLE = 1e-16, 1e-4
_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
_UNET = ("down_blocks", "mid_block", "up_blocks")
_WAVES = 3  # of the depth


def role(layer: str) -> str:
    """The projection whose part a layer plays: joint attention's ``add_k_proj``, of the text, plays that of "to_k".

    >>> role("transformer_blocks.0.attn.add_k_proj")
    'to_k'
    """
    name = projection(layer)
    return _PROJECTIONS[_PROJECTIONS.index(name) % 4] if name in _PROJECTIONS else name


def describe(layers: Sequence[str]) -> Tensor:
    """Where layers lie, (layers, DESCRIPTION): projection, kind of attention, depth from 0 (first) to 1 (last).

    Joint attention's projections of the text (``add_q_proj``) count as those of cross attention.
    """
    return torch.tensor([_description(layer, depth) for layer, depth in zip(layers, _depths(layers), strict=True)])


def _description(layer: str, depth: float) -> list[float]:
    name = projection(layer)
    place = _PROJECTIONS.index(name) if name in _PROJECTIONS else None
    kind = [float(place is not None and place % 4 == i) for i in range(4)]
    cross = "attn2" in layer or (place or 0) >= 4
    joint = not re.search(r"\battn[12]\b", layer)
    waves = [wave(math.pi * k * depth) for k in range(1, _WAVES + 1) for wave in (math.sin, math.cos)]
    return [*kind, float(cross), float(joint), *waves]


def _depths(layers: Sequence[str]) -> list[float]:
    """0 to 1: a UNet's by its way down, through the middle and up, a transformer's by the numbers of its blocks."""
    places = [_place(layer) for layer in layers]
    rank = {place: i for i, place in enumerate(sorted(set(places)))}
    return [rank[place] / max(1, len(rank) - 1) for place in places]


def _place(layer: str) -> tuple[int, ...]:
    first = layer.split(".")[0]
    part = _UNET.index(first) if first in _UNET else int(first.startswith("single_"))
    return (part, *(int(number) for number in re.findall(r"(?<=\.)\d+(?=\.)", layer)))


def measure(loras: Sequence[LoRA], layers: Sequence[str], device: torch.device) -> Tensor:
    """Features of each LoRA's layers beside the sum of all others, through the factors, (loras, layers, FEATURES).

    With dW of one LoRA and dO the sum of the others: log of the root mean square entry of dW and of dO (over 0.01),
    their cosine, log of each one's effective rank |dW|^4 / |dW dW^T|^2, log share of their outputs' and of their
    inputs' directions that is common (|dO^T dW| and |dW dO^T| over |dW| |dO|), and the first once more, less its mean
    over all layers.

    Args:
        loras: Two or more that all hold the layers, linear ones.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    thin = [[factorise(lora.layers[layer]) for lora in loras] for layer in layers]
    for row, factors in enumerate(thin):
        groups.setdefault(tuple(f.rank for f in factors), []).append(row)
    found = torch.zeros(len(loras), len(layers), FEATURES, device=device)
    for ranks, rows in groups.items():
        pairs = [_grams(thin[row], device) for row in rows]
        inputs, outputs = (torch.stack(grams) for grams in zip(*pairs, strict=True))
        sizes = torch.tensor([float(math.prod(thin[row][0].shape)) for row in rows], device=device)
        for i in range(len(loras)):
            found[i, rows, :-1] = _features(inputs, outputs, sizes, _part(ranks, i, device))
    found[..., -1] = found[..., 0] - found[..., 0].mean(dim=1, keepdim=True)
    return found


def _grams(factors: Sequence[LowRank], device: torch.device) -> tuple[Tensor, Tensor]:
    """A A^T and B^T B of all LoRAs' factors of a layer, one below the other, (ranks, ranks) each, in float32.

    All features are of these two, so that a layer's large factors are read once.
    """
    a = torch.cat([f.A.to(device, torch.float32) * f.scale for f in factors])
    b = torch.cat([f.B.to(device, torch.float32) for f in factors], dim=1)
    return a @ a.mT, b.mT @ b


def _part(ranks: Sequence[int], i: int, device: torch.device) -> Tensor:
    """Which rows of the factors are LoRA i's, (ranks,)."""
    owner = [k for k, rank in enumerate(ranks) for _ in range(rank)]
    return torch.tensor(owner, device=device) == i


def _features(inputs: Tensor, outputs: Tensor, sizes: Tensor, own: Tensor) -> Tensor:
    """(layers, FEATURES - 1) from the Grams (layers, ranks, ranks), the deltas' numbers of entries and dW's rows."""
    aa, ac, cc = inputs[:, own][:, :, own], inputs[:, own][:, :, ~own], inputs[:, ~own][:, :, ~own]
    bb, bd, dd = outputs[:, own][:, :, own], outputs[:, own][:, :, ~own], outputs[:, ~own][:, :, ~own]
    square, square_o = (_sum(x, y).clamp(min=0) + _TINY for x, y in ((bb, aa), (dd, cc)))
    both = square * square_o
    usual = _LITTLE * sizes  # squared size of a delta whose entries are 0.01
    found = [
        (square / usual).log() / 2,
        (square_o / usual).log() / 2,
        _sum(bd, ac) / both.sqrt(),
        _effective_rank(bb, aa, square).log(),
        _effective_rank(dd, cc, square_o).log(),
        (_sum(bd @ cc, aa @ bd).clamp(min=0) / both + _LITTLE).log() / 2,
        (_sum(ac @ dd, bb @ ac).clamp(min=0) / both + _LITTLE).log() / 2,
    ]
    return torch.stack(found, dim=-1).clamp(-8, 8)


def _sum(x: Tensor, y: Tensor) -> Tensor:
    """Inner products of matrices, (layers,)."""
    return (x * y).sum((1, 2))


def _effective_rank(bb: Tensor, aa: Tensor, square: Tensor) -> Tensor:
    """(sum of the squared singular values)^2 / sum of their fourth powers, (layers,)."""
    product = bb @ aa
    return square.square() / (_sum(product, product.mT).clamp(min=0) + square.square() * _LITTLE)
