"""gamma, the number that multiplies a layer's delta."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Scaling:
    """What a configuration says of a layer, for parts that hold no alpha of their own.

    Args:
        alpha: None or 0 means the rank.
        rslora: gamma = alpha / sqrt(rank), not alpha / rank (rsLoRA, arXiv 2312.03732).
        rank: For LoKr of two full factors, whose shapes do not tell it.
    """

    alpha: float | None = None
    rslora: bool = False
    rank: int | None = None


def gamma(parts: Mapping[str, Tensor], scaling: Scaling, rank: int) -> float:
    """alpha / rank, times the learned scalar of some LyCORIS files.

    An alpha beside the factors is always divided by the rank: LyCORIS writes one that has rsLoRA's root in it already.

    Raises:
        ValueError: alpha or the scalar is not one number.
    """
    if "alpha" in parts:
        value = (single_number(parts, "alpha") or rank) / rank
    else:
        value = (scaling.alpha or rank) / (math.sqrt(rank) if scaling.rslora else rank)
    return value * single_number(parts, "scalar") if "scalar" in parts else value


def single_number(parts: Mapping[str, Tensor], role: str) -> float:
    """A part that is one number.

    Raises:
        ValueError: It is several, or none, or not finite.
    """
    tensor = parts[role]
    value = float(tensor) if tensor.numel() == 1 and not tensor.is_complex() else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{role} must be one finite number, found shape {tuple(tensor.shape)} of {tensor.dtype}")
    return value
