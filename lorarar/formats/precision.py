"""Precision: factors that keep their digits in the dtype of a file.

fp16 has no numbers below 6e-8 and fewer digits below 6e-5. A merge with a small alpha or weight can have such a factor
A beside a factor B of ordinary size. A power of two moves between the two, or into the scale, without any rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lorarar.formats.algorithms.roles import split_key
from lorarar.lora import LoRA, LowRank
from lorarar.storage import FormatError

_LOW = 2.0**-9  # geometric mean of the largest entries of A and B below which a power of two goes into the scale
_AIM = -2  # exponent of that mean afterwards
_LOSS = 4.0  # largest loss, in units of the dtype's precision


def lift(lora: LoRA, dtype: torch.dtype) -> LoRA:
    """Return the same LoRA with one small scale for all layers, if its factors are computed and all are very small.

    Args:
        lora: The LoRA. Factors that are in the file's dtype already lose nothing and stay as they are.
        dtype: Dtype of the file.
    """
    layers = {path: layer for path, layer in lora.layers.items() if isinstance(layer, LowRank)}
    computed = any(dtype not in (layer.A.dtype, torch.float32) for layer in layers.values())
    if not computed or any(layer.device.type == "meta" for layer in layers.values()):
        return lora
    level = max(
        math.sqrt(float(layer.A.detach().abs().max()) * float(layer.B.detach().abs().max()) * abs(layer.scale))
        for layer in layers.values()
    )
    if not 0 < level < _LOW:
        return lora
    scale = 4.0 ** (math.floor(math.log2(level)) - _AIM)
    lifted = {
        path: replace(layer, A=layer.A.float() * (layer.scale / scale), scale=scale) for path, layer in layers.items()
    }
    return replace(lora, layers={**lora.layers, **lifted})


def balance(tensors: Mapping[str, Tensor], dtype: torch.dtype, path: object) -> dict[str, Tensor]:
    """Return the tensors of a file with a power of two shared between a row of A and a column of B where digits fail.

    Args:
        tensors: Key -> tensor of the file.
        dtype: Dtype of the file.
        path: The file, for messages.

    Raises:
        FormatError: The weights are too small for the dtype even so.
    """
    balanced, lost, total, touched = dict(tensors), 0.0, 0.0, False
    for down, up in _pairs(tensors):
        a, b = tensors[down], tensors[up]
        if a.device.type == "meta" or dtype not in (torch.float16, torch.bfloat16):
            return balanced
        if a.dtype == b.dtype == dtype:
            continue  # nothing is rounded
        exponents = _exponents(a, b, dtype)
        if exponents.any():
            touched = True
            shape = (-1, *[1] * (a.ndim - 1))
            balanced[down] = torch.ldexp(a.float(), exponents.reshape(shape))
            balanced[up] = torch.ldexp(b.float(), -exponents.reshape(1, -1, *[1] * (b.ndim - 2)))
    if not touched:
        return balanced
    for down, up in _pairs(balanced):
        a, b = balanced[down].float().flatten(1), balanced[up].float().flatten(1)
        sizes = (a.norm(dim=1) * b.norm(dim=0)).double()
        errors = _error(a, dtype).double() + _error(b.T, dtype).double()
        lost, total = lost + float((sizes * errors).square().sum()), total + float(sizes.square().sum())
    share = math.sqrt(lost / total) if total else 0.0
    if not share <= _LOSS * torch.finfo(dtype).eps:
        raise FormatError(
            f"{path} was not written: its weights are beyond the range of {dtype} (relative error "
            f"{'above 1' if not share <= 1 else f'{share:.3f}'}): write it with fp32 or bf16, or look at the weights "
            "and alphas of the inputs"
        )
    return balanced


def _pairs(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the keys of A and B of each layer."""
    ends: dict[str, dict[str, str]] = {}
    for key in tensors:
        stem, role = split_key(key) or ("", "")
        ends.setdefault(stem, {})[role] = key
    yield from ((roles["down"], roles["up"]) for roles in ends.values() if "down" in roles and "up" in roles)


def _exponents(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the power of two by which each row of A grows and each column of B shrinks; 0 where both keep digits."""
    a, b = a.flatten(1), b.flatten(1).T
    precision = torch.finfo(dtype).eps / 2
    # Not "greater", so that an overflow, whose error is not a number, counts too.
    fails = ~((_error(a, dtype) <= precision) & (_error(b, dtype) <= precision))
    if not fails.any():
        return torch.zeros(len(a), dtype=torch.int32)
    a, b = a.float(), b.float()
    largest_a, largest_b = a.abs().amax(1), b.abs().amax(1)
    usable = fails & (largest_a > 0) & (largest_b > 0) & largest_a.isfinite() & largest_b.isfinite()
    exponents = ((largest_b.log2() - largest_a.log2()) / 2).round()
    return torch.where(usable, exponents, torch.zeros(())).int()


def _error(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the relative error of each row in a dtype; 0 for a row of zeros, and for rows of this dtype."""
    if rows.dtype == dtype:
        return torch.zeros(len(rows), device=rows.device)
    rows = rows.float()
    sizes: Tensor = rows.norm(dim=1)
    lost: Tensor = (rows - rows.to(dtype).float()).norm(dim=1)
    return lost / sizes.where(sizes > 0, torch.ones(()))
