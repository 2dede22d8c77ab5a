"""Fusing: diffusers layers under the names of a file or of the authors, with projections fused exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import torch
from torch import Tensor

from lorarar.formats.naming.originals import NamingScheme, original_layer
from lorarar.formats.naming.rows import divide_rows
from lorarar.lora import Dense, Layer, LowRank, Rows

# diffusers ignores the alpha of these layers in a kohya file, so the factors absorb their scale.
_WITHOUT_ALPHA = ("proj_out", "norm_out.linear")


def fuse_layers(layers: Mapping[str, Layer], scheme: NamingScheme) -> dict[str, Layer]:
    """Return the denoiser's layers under the authors' names. A missing part of a fused layer becomes rows of zeros.

    Projections with the same factor A keep their rank. Otherwise the rank of the fused layer is the sum of the ranks.

    Args:
        layers: diffusers path -> delta. The path of a bias ends in ".bias".
        scheme: Naming scheme of the result, a name in `lorarar.formats.naming.schemes.SCHEMES`.

    Returns:
        Path under the authors' names -> delta.

    Raises:
        ValueError: The model has no such layer, or the size of a layer does not fit the fused layer.
    """
    places: dict[str, Rows] = {}
    for path in layers:
        module = path.removesuffix(".bias")
        stored, rows = original_layer(module, scheme)
        ending = path[len(module) :]
        places[stored + ending] = replace(rows, shares=tuple((name + ending, share) for name, share in rows.shares))
    return _fill(layers, places)


def fuse_as_named(layers: Mapping[str, Layer], names: Mapping[str, Rows]) -> dict[str, Layer]:
    """Return layers under the names that they have in files. A missing part of a fused layer becomes rows of zeros.

    Args:
        layers: diffusers path -> delta. The path of a bias ends in ".bias".
        names: Name in a file -> the layers in its rows; where names overlap, the name with the most layers counts.

    Returns:
        Name -> delta. The name of a bias ends in ".bias".

    Raises:
        ValueError: A layer has no name, or the size of a layer does not fit the fused layer.
    """
    places: dict[str, Rows] = {}
    taken: set[str] = set()
    for name, rows in sorted(names.items(), key=lambda item: -len(item[1].paths)):
        if taken.isdisjoint(rows.paths):
            taken.update(rows.paths)
            for ending in ("", ".bias"):
                if any(path + ending in layers for path in rows.paths):
                    shares = tuple((path + ending, share) for path, share in rows.shares)
                    places[name + ending] = replace(rows, shares=shares)
    nameless = [path for path in layers if path.removesuffix(".bias") not in taken]
    if nameless:
        raise ValueError(
            f"expected the name of each layer in a file, found {len(nameless)} without one, first {nameless[0]}: write "
            'the LoRA with `format="diffusers"` or `format="kohya"`'
        )
    return _fill(layers, {name: places[name] for name in _in_order(names, places)})


def _in_order(names: Mapping[str, Rows], places: Mapping[str, Rows]) -> list[str]:
    return [name + ending for name in names for ending in ("", ".bias") if name + ending in places]


def _fill(layers: Mapping[str, Layer], places: Mapping[str, Rows]) -> dict[str, Layer]:
    """Return the name of each stored layer -> its delta, made of the layers in its rows."""
    fused: dict[str, Layer] = {}
    for stored, rows in places.items():
        several = len(rows.shares) > 1
        fused[stored] = _fused([layers.get(path) for path in rows.paths], rows) if several else _whole(layers, rows)
    return fused


def _whole(layers: Mapping[str, Layer], rows: Rows) -> Layer:
    """Return a layer that is stored alone, with its halves swapped as in reading."""
    (path,) = rows.paths
    weight = layers.get(path.removesuffix(".bias"))
    layer = divide_rows(layers[path], rows, weight.shape[-1] if weight else 0)[path]
    if path in _WITHOUT_ALPHA and isinstance(layer, LowRank) and layer.scale != 1:
        return replace(layer, A=layer.A.float() * layer.scale, scale=1.0)
    return layer


def _fused(parts: Sequence[Layer | None], rows: Rows) -> Layer:
    shares = [share for _, share in rows.shares]
    present = [(part, share) for part, share in zip(parts, shares, strict=True) if part is not None]
    first, width = present[0][0], present[0][0].shape[0] // present[0][1]
    if any(part.shape[0] != share * width for part, share in present):
        shapes = {path: part.shape for path, part in zip(rows.paths, parts, strict=True) if part is not None}
        raise ValueError(f'the shapes {shapes} do not fit one fused layer: write the LoRA with `format="diffusers"`')
    sizes = [share * width for share in shares]
    low_rank = [part for part, _ in present if isinstance(part, LowRank)]
    if len(low_rank) == len(present):
        return _fused_factors(low_rank, parts, sizes)
    filled: list[Tensor] = []
    for part, size in zip(parts, sizes, strict=True):
        filled.append(torch.zeros(size, *first.shape[1:]) if part is None else part.delta())
    return Dense(torch.cat(filled))


def _fused_factors(low_rank: Sequence[LowRank], parts: Sequence[Layer | None], sizes: Sequence[int]) -> LowRank:
    """Return [B_1; B_2; ..] A if all parts have the same A, else the block diagonal of all B times all A."""
    first = low_rank[0]
    equal_scales = all(part.scale == first.scale for part in low_rank)
    # Of a plan's tensors, which hold no numbers, the largest outcome is planned.
    comparable = len(low_rank) == len(parts) and equal_scales and first.device.type != "meta"
    if comparable and all(torch.equal(part.A, first.A) for part in low_rank[1:]):
        return replace(first, B=torch.cat([part.B for part in low_rank]))
    down = torch.cat([part.A if equal_scales else part.A.float() * part.scale for part in low_rank])
    widest = reduce(torch.promote_types, (part.B.dtype for part in low_rank))
    up = torch.zeros(sum(sizes), down.shape[0], dtype=widest, device=first.B.device)
    row = column = 0
    for part, size in zip(parts, sizes, strict=True):
        if isinstance(part, LowRank):
            up[row : row + size, column : column + part.rank] = part.B
            column += part.rank
        row += size
    return LowRank(up, down, first.scale if equal_scales else 1.0)
