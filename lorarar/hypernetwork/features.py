"""What can be told of a LoRA's layers, beside other LoRAs', without knowing width, rank or factorisation."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from lorarar.dense import factored
from lorarar.lora import Layer, LoRA, projection

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


def measure(loras: Sequence[LoRA], i: int, layers: Sequence[str], device: torch.device) -> Tensor:
    """Features of layers of LoRA i beside the sum of all others, through the factors, (layers, FEATURES).

    With dW of LoRA i and dO the sum of the others: log of the root mean square entry of dW and of dO (over 0.01), their
    cosine, log of each one's effective rank |dW|^4 / |dW dW^T|^2, log share of their outputs' and of their inputs'
    directions that is common (|dO^T dW| and |dW dO^T| over |dW| |dO|), and the first once more, less its mean over all
    layers.

    Args:
        loras: Two or more that all hold the layers, linear ones.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for row, layer in enumerate(layers):
        groups.setdefault(tuple(_layout(lora.layers[layer]) for lora in loras), []).append(row)
    found = torch.zeros(len(layers), FEATURES, device=device)
    for rows in groups.values():
        factors = [_stacked([lora.layers[layers[row]] for row in rows], device) for lora in loras]
        others = factors[:i] + factors[i + 1 :]
        other = torch.cat([a for a, _ in others], dim=1), torch.cat([b for _, b in others], dim=2)
        found[rows, :-1] = _features(factors[i], other)
    found[:, -1] = found[:, 0] - found[:, 0].mean()
    return found


def _features(own: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """(layers, FEATURES - 1) of A (layers, rank, in) and B (layers, out, rank) of dW and of dO."""
    (a, b), (c, d) = own, other
    bb, bd, dd = b.mT @ b, b.mT @ d, d.mT @ d
    aa, ac, cc = a @ a.mT, a @ c.mT, c @ c.mT
    square, square_o = (_sum(x, y).clamp(min=0) + _TINY for x, y in ((bb, aa), (dd, cc)))
    both = square * square_o
    size = _LITTLE * b.shape[1] * a.shape[2]  # of a delta whose entries are 0.01
    found = [
        (square / size).log() / 2,
        (square_o / size).log() / 2,
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


def _stacked(deltas: Sequence[Layer], device: torch.device) -> tuple[Tensor, Tensor]:
    """A (layers, rank, in), with the scale in it, and B (layers, out, rank), float32."""
    thin = [factored(delta) for delta in deltas]
    scale = torch.tensor([d.scale for d in thin], device=device)
    down = torch.stack([d.A for d in thin]).to(device, torch.float32)
    return down * scale[:, None, None], torch.stack([d.B for d in thin]).to(device, torch.float32)


def _layout(delta: Layer) -> tuple[object, ...]:
    """What layers must share to be stacked."""
    thin = factored(delta)
    return thin.shape, thin.rank, thin.A.dtype
