"""Scaling: gamma, the factor of a layer's delta."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scaling:
    """Scaling of a layer in a configuration, for parts without alpha.

    Attributes:
        alpha: None means alpha = rank.
        rslora: Whether gamma = alpha / sqrt(rank) instead of alpha / rank (rsLoRA, arXiv 2312.03732).
        rank: Rank for LoKr with two full factors, whose shapes do not determine it.
    """

    alpha: float | None = None
    rslora: bool = False
    rank: int | None = None


def gamma(parts: Mapping[str, Tensor], scaling: Scaling, rank: int) -> float:
    """Return alpha / rank, multiplied by the learned scalar of some LyCORIS files.

    An alpha beside the factors is always divided by the rank, because LyCORIS includes the square root of rsLoRA in it.
    An alpha of 0 there mutes the layer, as in ComfyUI, A1111 and diffusers: trainers replace 0 by the rank before they
    write it, so only tools that edit files leave it.

    Raises:
        ValueError: alpha or the scalar is not a single number.
    """
    if "alpha" in parts:
        value = single_number(parts, "alpha") / rank
    else:
        alpha = rank if scaling.alpha is None else scaling.alpha
        value = alpha / (math.sqrt(rank) if scaling.rslora else rank)
    return value * single_number(parts, "scalar") if "scalar" in parts else value


def single_number(parts: Mapping[str, Tensor], role: str) -> float:
    """Return the value of a part with a single number.

    Raises:
        ValueError: The part has several numbers or none, or the number is not finite.
    """
    tensor = parts[role]
    number = tensor.numel() == 1 and not tensor.is_complex() and (role, tensor.dtype) != ("alpha", torch.bool)
    value = float(tensor) if number else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{role} must be one finite number, found shape {tuple(tensor.shape)} of {tensor.dtype}")
    return value
