"""Fusing: diffusers layers of FLUX and SD3 under the authors' names, with projections fused exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import torch

from lorarar.formats.naming.originals import NamingScheme, original_layer
from lorarar.formats.naming.rows import Rows, divide_rows
from lorarar.lora import Dense, Layer, LowRank

# diffusers reads these layers of a kohya file without their alpha: their scale goes into the factors.
_WITHOUT_ALPHA = ("proj_out", "norm_out.linear")


def fuse_layers(layers: Mapping[str, Layer], layout: NamingScheme) -> dict[str, Layer]:
    """Return the denoiser's layers under the authors' names. A missing part of a fused layer becomes rows of zeros.

    Projections with the same factor A keep their rank. Otherwise the rank of the fused layer is the sum of the ranks.

    Args:
        layers: diffusers path -> delta. The path of a bias ends in ".bias".
        scheme: Naming scheme of the result, "flux" or "sd3".

    Returns:
        Path under the authors' names -> delta.

    Raises:
        ValueError: The model has no such layer, or the size of a layer does not fit the fused layer.
    """
    places: dict[str, Rows] = {}
    for path in layers:
        module = path.removesuffix(".bias")
        stored, rows = original_layer(module, layout)
        ending = path[len(module) :]
        places[stored + ending] = replace(rows, shares=tuple((name + ending, share) for name, share in rows.shares))
    return {
        stored: _fused([layers.get(path) for path in rows.paths], rows)
        if len(rows.shares) > 1
        else _whole(layers, rows)
        for stored, rows in places.items()
    }


def _whole(layers: Mapping[str, Layer], rows: Rows) -> Layer:
    """Return a layer that is stored alone, with its halves swapped as in reading."""
    (path,) = rows.paths
    weight = layers.get(path.removesuffix(".bias"))
    layer = divide_rows(layers[path], rows, weight.shape[-1] if weight else 0)[path]
    if path in _WITHOUT_ALPHA and isinstance(layer, LowRank) and layer.scale != 1:
        return replace(layer, A=layer.A.float() * layer.scale, scale=1.0)
    return layer


def _fused(parts: Sequence[Layer | None], rows: Rows) -> Layer:
    known = [(part, share) for part, (_, share) in zip(parts, rows.shares, strict=True) if part is not None]
    first, width = known[0][0], known[0][0].shape[0] // known[0][1]
    if any(part.shape[0] != share * width for part, share in known):
        sizes = {path: part.shape for (path, _), part in zip(rows.shares, parts, strict=True) if part is not None}
        raise ValueError(f"sizes {sizes} are not those of one fused layer: write with --format diffusers")
    thin = [part for part, _ in known if isinstance(part, LowRank)]
    if len(thin) < len(known):
        shape = first.shape[1:]
        filled = [
            part.delta() if part is not None else torch.zeros(share * width, *shape)
            for part, (_, share) in zip(parts, rows.shares, strict=True)
        ]
        return Dense(torch.cat(filled))
    return _fused_factors(thin, parts, [share * width for _, share in rows.shares])


def _fused_factors(thin: Sequence[LowRank], parts: Sequence[Layer | None], sizes: Sequence[int]) -> LowRank:
    """Return [B_1; B_2; ..] A if all parts have the same A, else the block diagonal of all B times all A."""
    first = thin[0]
    equal_scales = all(part.scale == first.scale for part in thin)
    if len(thin) == len(parts) and equal_scales and all(torch.equal(part.A, first.A) for part in thin[1:]):
        return replace(first, B=torch.cat([part.B for part in thin]))
    down = torch.cat([part.A if equal_scales else part.A.float() * part.scale for part in thin])
    widest = reduce(torch.promote_types, (part.B.dtype for part in thin))
    up = torch.zeros(sum(sizes), down.shape[0], dtype=widest, device=first.B.device)
    row = column = 0
    for part, size in zip(parts, sizes, strict=True):
        if isinstance(part, LowRank):
            up[row : row + size, column : column + part.rank] = part.B
            column += part.rank
        row += size
    return LowRank(up, down, first.scale if equal_scales else 1.0)
