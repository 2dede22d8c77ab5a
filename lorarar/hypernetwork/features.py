"""Features: inputs of our own network, the position of a layer and the Gram matrices of its deltas as numbers.

The features do not depend on a layer's width, on a LoRA's rank, or on how a delta is split into its factors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from lorarar.lora import LoRA, LowRank, factorise, projection

DELTA_FEATURES, POSITION_FEATURES = 8, 12
_SQUARE_FLOOR = 1e-16  # added to a squared norm, so that a delta of zeros has a logarithm
_TYPICAL_SQUARE = 1e-4  # of an entry: 0.01 is its typical size
_SHARE_FLOOR = 1e-4  # of squared shares, before their logarithm
_LARGEST = 8.0  # magnitude of a feature
_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
_UNET_PARTS = ("down_blocks", "mid_block", "up_blocks")
_CACHED_NUMBERS = 1 << 18  # entries of Gram matrices that are computed at once: few enough for a CPU's cache
_FREQUENCIES = 3  # of the depth's sines and cosines


def projection_role(layer: str) -> str:
    """Return the projection that a layer stands for: joint attention's text projections stand for the plain ones.

    >>> projection_role("transformer_blocks.0.attn.add_k_proj")
    'to_k'
    """
    name = projection(layer)
    return _PROJECTIONS[_PROJECTIONS.index(name) % 4] if name in _PROJECTIONS else name


def position_features(layers: Sequence[str]) -> Tensor:
    """Return where layers lie in the denoiser, as numbers.

    With d the depth of a layer among the given ones, 0 (first) to 1 (last), the features of a layer are:

        0-3   1 at its projection (query, key, value, out), else 0; all 0 for other layers
        4     1 for cross attention and for joint attention's projections of the text (`add_q_proj`), else 0
        5     1 for joint attention, else 0
        6-11  sin(pi d), cos(pi d), sin(2 pi d), cos(2 pi d), sin(3 pi d), cos(3 pi d)

    Args:
        layers: Layer paths.

    Returns:
        (layers, 12).
    """
    return torch.tensor([_position(layer, depth) for layer, depth in zip(layers, _depths(layers), strict=True)])


def _position(layer: str, depth: float) -> list[float]:
    name = projection(layer)
    index = _PROJECTIONS.index(name) if name in _PROJECTIONS else None
    one_hot = [float(index is not None and index % 4 == i) for i in range(4)]
    cross = "attn2" in layer or (index or 0) >= 4
    joint = not re.search(r"\battn[12]\b", layer)
    waves = []
    for k in range(1, _FREQUENCIES + 1):
        waves += [math.sin(math.pi * k * depth), math.cos(math.pi * k * depth)]
    return [*one_hot, float(cross), float(joint), *waves]


def _depths(layers: Sequence[str]) -> list[float]:
    """Return depths from 0 to 1, in the order in which the denoiser runs its blocks.

    A UNet runs down, through the middle and up; a transformer runs its blocks by number, the single ones last.
    """
    keys = [_order(layer) for layer in layers]
    ranks = {key: i for i, key in enumerate(sorted(set(keys)))}
    return [ranks[key] / max(1, len(ranks) - 1) for key in keys]


def _order(layer: str) -> tuple[int, ...]:
    """Return the sort key of a layer's block: the part of the denoiser, then the numbers in the path."""
    first = layer.split(".")[0]
    part = _UNET_PARTS.index(first) if first in _UNET_PARTS else int(first.startswith("single_"))
    return (part, *(int(number) for number in re.findall(r"(?<=\.)\d+(?=\.)", layer)))


def delta_features(loras: Sequence[LoRA], layers: Sequence[str], device: torch.device) -> Tensor:
    """Return the features of each LoRA's deltas against the sum of the other LoRAs' deltas.

    For LoRA i and one layer, dW = B A (out, in) is its delta, with B (out, rank) and A (rank, in), the scale being part
    of A. dO = D C is the sum of the other LoRAs' deltas, with their factors side by side: D (out, ranks), C (ranks,
    in). |.| is the Frobenius norm, <., .> the inner product of two matrices, N = out in the number of entries, and

        s_W = |dW|^2 + 1e-16,    s_O = |dO|^2 + 1e-16.

    The features of a layer are, the first seven clamped to -8 .. 8:

        0  1/2 log(s_W / (1e-4 N))                      log of the root mean square entry of dW, over 0.01
        1  1/2 log(s_O / (1e-4 N))                      the same of dO
        2  <dW, dO> / sqrt(s_W s_O)                     cosine between dW and dO
        3  log(s_W^2 / (|dW dW^T|^2 + 1e-4 s_W^2))      log of the effective rank of dW
        4  log(s_O^2 / (|dO dO^T|^2 + 1e-4 s_O^2))      log of the effective rank of dO
        5  1/2 log(|dO^T dW|^2 / (s_W s_O) + 1e-4)      log of the share of common output directions
        6  1/2 log(|dW dO^T|^2 / (s_W s_O) + 1e-4)      log of the share of common input directions
        7  feature 0 less its mean over all layers      size of dW in this layer, relative to the LoRA's other layers

    For a content and a style LoRA, dO of the content is the style's delta and the reverse. All terms are computed from
    the Gram matrices of the factors, see `_features_from_grams`, so that dW is never formed.

    Args:
        loras: Two or more LoRAs that all hold the layers.
        layers: Paths of linear layers.
        device: Where to compute.

    Returns:
        (loras, layers, 8), float32.
    """
    factors = [[factorise(lora.layers[layer]) for lora in loras] for layer in layers]
    rows_by_ranks: dict[tuple[int, ...], list[int]] = {}
    for row, layer_factors in enumerate(factors):
        rows_by_ranks.setdefault(tuple(f.rank for f in layer_factors), []).append(row)
    features = torch.zeros(len(loras), len(layers), DELTA_FEATURES, device=device)
    for ranks, rows in rows_by_ranks.items():
        own_rows = [_own_rows(ranks, i) for i in range(len(loras))]
        size = max(1, _CACHED_NUMBERS // sum(ranks) ** 2)
        for start in range(0, len(rows), size):
            few = rows[start : start + size]
            grams = [_grams(factors[row], device) for row in few]
            down_grams, up_grams = (torch.stack(matrices) for matrices in zip(*grams, strict=True))
            entries = torch.tensor([float(math.prod(factors[row][0].shape)) for row in few], device=device)
            for i, own in enumerate(own_rows):
                features[i, few, :-1] = _features_from_grams(down_grams, up_grams, entries, own)
    features[..., -1] = features[..., 0] - features[..., 0].mean(dim=1, keepdim=True)
    return features


def _grams(factors: Sequence[LowRank], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the Gram matrices of a layer's factors, all LoRAs' factors in one: A A^T and B^T B.

    Every feature is computed from these two, so that a layer's large factors are read once.

    Returns:
        Two matrices (ranks, ranks), float32; ranks is the sum of the LoRAs' ranks.
    """
    downs = [f.A.to(device, torch.float32) for f in factors]
    rows = [down if f.scale == 1 else down * f.scale for down, f in zip(downs, factors, strict=True)]
    return _gram(rows), _gram([f.B.to(device, torch.float32).mT for f in factors])


def _gram(parts: Sequence[Tensor]) -> Tensor:
    """Return the Gram matrix of the rows of all parts, each product of two parts computed once."""
    blocks: dict[tuple[int, int], Tensor] = {}
    for i, part in enumerate(parts):
        for j in range(i + 1):
            blocks[i, j] = part @ parts[j].mT
            blocks[j, i] = blocks[i, j].mT
    indices = range(len(parts))
    return torch.cat([torch.cat([blocks[i, j] for j in indices], dim=1) for i in indices])


def _own_rows(ranks: Sequence[int], i: int) -> slice:
    """Return which rows of the Gram matrices belong to LoRA i."""
    start = sum(ranks[:i])
    return slice(start, start + ranks[i])


def _features_from_grams(down_grams: Tensor, up_grams: Tensor, entries: Tensor, own: slice) -> Tensor:
    """Return the first seven features of `delta_features`, from Gram matrices.

    With dW = B A and dO = D C the terms are inner products of small matrices:

        |dW|^2       = <B^T B, A A^T>                    |dO|^2 = <D^T D, C C^T>
        <dW, dO>     = <B^T D, A C^T>
        |dO^T dW|^2  = <B^T D C C^T, A A^T B^T D>
        |dW dO^T|^2  = <A C^T D^T D, B^T B A C^T>

    Args:
        down_grams: Gram matrices of the down factors, (layers, ranks, ranks): A A^T, A C^T and C C^T are their blocks.
        up_grams: Gram matrices of the up factors, the same shape: B^T B, B^T D and D^T D.
        entries: Number N of entries of each layer's delta, (layers,).
        own: The rows of A and B.

    Returns:
        (layers, 7).
    """
    aa, ac, cc = _blocks(down_grams, own)
    bb, bd, dd = _blocks(up_grams, own)
    square_w = _inner(bb, aa).clamp(min=0) + _SQUARE_FLOOR
    square_o = _inner(dd, cc).clamp(min=0) + _SQUARE_FLOOR
    product = square_w * square_o
    typical = _TYPICAL_SQUARE * entries
    features = [
        (square_w / typical).log() / 2,
        (square_o / typical).log() / 2,
        _inner(bd, ac) / product.sqrt(),
        _effective_rank(bb, aa, square_w).log(),
        _effective_rank(dd, cc, square_o).log(),
        (_inner(bd @ cc, aa @ bd).clamp(min=0) / product + _SHARE_FLOOR).log() / 2,
        (_inner(ac @ dd, bb @ ac).clamp(min=0) / product + _SHARE_FLOOR).log() / 2,
    ]
    return torch.stack(features, dim=-1).clamp(-_LARGEST, _LARGEST)


def _blocks(grams: Tensor, own: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Return a Gram matrix's blocks: own with own, own with others, others with others."""
    others = torch.cat([grams[:, : own.start], grams[:, own.stop :]], dim=1)
    among_others = torch.cat([others[:, :, : own.start], others[:, :, own.stop :]], dim=2)
    return grams[:, own, own], others[:, :, own].mT, among_others


def _inner(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner products <x, y> of matrices, (layers, n, m) and (layers, n, m) -> (layers,)."""
    return (x * y).sum((1, 2))


def _effective_rank(up_gram: Tensor, down_gram: Tensor, square: Tensor) -> Tensor:
    """Return s^2 / (|dW dW^T|^2 + 1e-4 s^2), with |dW dW^T|^2 = tr((B^T B A A^T)^2), (layers,).

    Apart from the floor it is the squared sum of the squared singular values over the sum of their fourth powers.
    """
    product = up_gram @ down_gram
    return square.square() / (_inner(product, product.mT).clamp(min=0) + square.square() * _SHARE_FLOOR)
