"""Coefficients: a factor for each column of each input, and the exact merge that they define."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorarar.lora.dense import Dense, scale_columns_dense
from lorarar.lora.lora import Layer, LoRA, block, check_same_shapes, label, projection
from lorarar.lora.lowrank import LowRank, concat, scale_columns

CoefficientSummary = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Factors that scale the columns of each input's deltas in a merge.

    Attributes:
        layers: Layer path -> one tensor for each input LoRA, in order: a vector (in,), a column (rank, 1) for the
            directions of a low-rank delta, or a scalar () for all of it. The tensor has shape (n,) or () for a norm or
            bias of n entries. A LoRA without the layer keeps its place in the tuple; the value at this place is
            ignored.
    """

    layers: Mapping[str, tuple[Tensor, ...]]


def merge_exactly(loras: Sequence[LoRA], coefficients: Coefficients) -> LoRA:
    """Return the LoRA with dW_m = sum_i dW_i diag(m_i) in each layer.

    Column coefficients scale only the input side, so the sum is exactly a product of two thin factors:
    `sum_i s_i B_i A_i diag(m_i) = [B_1 .. B_n] [s_1 A_1 diag(m_1); ..; s_n A_n diag(m_n)]`, of rank sum(rank_i).

    Args:
        loras: One or more LoRAs for one base model, of any ranks and alphas.
        coefficients: One vector for each input in each layer of any input. Other layers are ignored.

    Returns:
        The merged LoRA, differentiable in the coefficients and the factors. Its scale is 1.0; a single input keeps its
        scale. A layer that only some inputs contain is merged from these. If a layer is dense in one of the inputs, the
        merged layer is dense.

    Raises:
        ValueError: No LoRA is given, the LoRAs' shapes differ, or the coefficients do not fit the LoRAs.

    Reference:
        The merge of arXiv 2311.13600 and 2412.05148.
    """
    if not loras:
        raise ValueError("expected at least one LoRA to merge, found none: give two or more")
    check_same_shapes(loras)
    layers = list(dict.fromkeys(layer for lora in loras for layer in lora.layers))
    _check_coefficients(layers, len(loras), coefficients)
    return LoRA({layer: _merge_layer(layer, loras, coefficients.layers[layer]) for layer in layers})


def summarise_coefficients(coefficients: Coefficients) -> CoefficientSummary:
    """Return the mean, standard deviation, minimum and maximum of the coefficients by block and projection.

    Returns:
        {block: {projection: [{"mean", "std", "min", "max"} for each LoRA]}}. The numbers are rounded to six significant
        digits and can be written as JSON. "std" is the population standard deviation.
    """
    groups: dict[tuple[str, str], list[tuple[Tensor, ...]]] = {}
    for layer, vectors in coefficients.layers.items():
        groups.setdefault((block(layer), projection(layer)), []).append(vectors)
    moments: CoefficientSummary = {}
    for (name, role), layers in groups.items():
        moments.setdefault(name, {})[role] = [_moments(of_input) for of_input in zip(*layers, strict=True)]
    return moments


def _merge_layer(layer: str, loras: Sequence[LoRA], vectors: Sequence[Tensor]) -> Layer:
    parts = [(i, lora.layers[layer], vectors[i]) for i, lora in enumerate(loras) if layer in lora.layers]
    low_rank: list[LowRank] = []
    full: list[Tensor] = []
    dense = any(isinstance(delta, Dense) for _, delta, _ in parts)
    for index, delta, m in parts:
        try:
            if isinstance(delta, LowRank) and not dense:
                low_rank.append(scale_columns(delta, m))
            else:
                full.append(scale_columns_dense(delta, m))
        except ValueError as error:
            raise ValueError(f"{label(loras[index], index)}, layer {layer}: {error}") from error
    kernel = next((delta.kernel for _, delta, _ in parts if delta.kernel), ())
    return Dense(sum(full[1:], full[0]), kernel) if dense else concat(low_rank)


def _check_coefficients(layers: Sequence[str], count: int, coefficients: Coefficients) -> None:
    missing = [layer for layer in layers if layer not in coefficients.layers]
    if missing:
        raise ValueError(
            f"the coefficients cover {len(coefficients.layers)} layers and lack {len(missing)} of the LoRAs' "
            f"{len(layers)}, first {missing[:3]}: make the coefficients from these LoRAs"
        )
    for layer in layers:
        vectors = len(coefficients.layers[layer])
        if vectors != count:
            raise ValueError(
                f"layer {layer}: expected {count} coefficient vectors, one for each LoRA, found {vectors}: "
                f"make the coefficients from the same LoRAs, in the same order"
            )


def _moments(vectors: Sequence[Tensor]) -> dict[str, float]:
    """Return the moments of all entries of one input's vectors."""
    m = torch.cat([vector.detach().reshape(-1).float() for vector in vectors])
    values = {"mean": m.mean(), "std": m.std(correction=0), "min": m.min(), "max": m.max()}
    return {key: float(f"{float(value):.6g}") for key, value in values.items()}
