"""Coefficients, and the exact merge that they define."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorarar.lora.dense import Dense, scale_columns_dense
from lorarar.lora.lora import Layer, LoRA, block, check_same_shapes, label, projection
from lorarar.lora.lowrank import LowRank, concat, scale_columns

Summary = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True, eq=False)
class Coefficients:
    """How much of each column of each delta goes into the merge.

    Args:
        layers: Layer path -> one tensor for each input LoRA, in order: a vector (in,), or () for one number for all
            columns. For a norm or bias of n entries, (n,) or (). A LoRA that lacks the layer still has its place in the
            tuple; the value there is not used.
    """

    layers: Mapping[str, tuple[Tensor, ...]]


def merge_exactly(loras: Sequence[LoRA], coefficients: Coefficients) -> LoRA:
    """dW_m = sum_i dW_i diag(m_i) for each layer, as an ordinary LoRA.

    Column coefficients scale the input side only, so the sum is again a product of two thin factors, exactly:
    sum_i s_i B_i A_i diag(m_i) = [B_1 .. B_n] [s_1 A_1 diag(m_1); ..; s_n A_n diag(m_n)], of rank sum(rank_i).

    Args:
        loras: One or more LoRAs of one base model, of any ranks and alphas.
        coefficients: For each layer of any input, one vector for each input. Further layers are ignored.

    Returns:
        The merged LoRA, of scale 1.0 (a single input keeps its own), differentiable in the coefficients and in the
        factors. A layer that only some inputs hold is made of those; one that has no thin factors in some input is
        summed entry by entry.

    Raises:
        ValueError: No LoRA is given, shapes clash between LoRAs, or the coefficients do not fit them.

    Reference:
        The merge of arXiv 2311.13600 and 2412.05148.
    """
    if not loras:
        raise ValueError("expected at least one LoRA to merge, found none")
    check_same_shapes(loras)
    layers = list(dict.fromkeys(layer for lora in loras for layer in lora.layers))
    _check_coefficients(layers, len(loras), coefficients)
    return LoRA({layer: _merge_layer(layer, loras, coefficients.layers[layer]) for layer in layers})


def summary(coefficients: Coefficients) -> Summary:
    """Mean, standard deviation (population), least and greatest coefficient by block and projection.

    Returns:
        {block: {projection: [{"mean", "std", "min", "max"} for each LoRA]}}, plain numbers to six significant digits,
        fit for JSON.
    """
    groups: dict[str, dict[str, list[tuple[Tensor, ...]]]] = {}
    for layer, vectors in coefficients.layers.items():
        groups.setdefault(block(layer), {}).setdefault(projection(layer), []).append(vectors)
    return {
        name: {
            role: [_moments(torch.cat([m.detach().reshape(-1).float() for m in ms])) for ms in zip(*rows, strict=True)]
            for role, rows in roles.items()
        }
        for name, roles in groups.items()
    }


def _merge_layer(layer: str, loras: Sequence[LoRA], vectors: Sequence[Tensor]) -> Layer:
    parts = [(i, lora.layers[layer], vectors[i]) for i, lora in enumerate(loras) if layer in lora.layers]
    thin: list[LowRank] = []
    full: list[Tensor] = []
    dense = any(isinstance(delta, Dense) for _, delta, _ in parts)
    for index, delta, m in parts:
        try:
            if isinstance(delta, LowRank) and not dense:
                thin.append(scale_columns(delta, m))
            else:
                full.append(scale_columns_dense(delta, m))
        except ValueError as error:
            raise ValueError(f"{label(loras[index], index)}, layer {layer}: {error}") from error
    kernel = next((delta.kernel for _, delta, _ in parts if delta.kernel), ())
    return Dense(sum(full[1:], full[0]), kernel) if dense else concat(thin)


def _check_coefficients(layers: Sequence[str], count: int, coefficients: Coefficients) -> None:
    missing = [layer for layer in layers if layer not in coefficients.layers]
    if missing:
        raise ValueError(
            f"the coefficients cover {len(coefficients.layers)} layers and lack {len(missing)} of the LoRAs' "
            f"{len(layers)}, first {missing[:3]}: make them from these LoRAs"
        )
    for layer in layers:
        found = len(coefficients.layers[layer])
        if found != count:
            raise ValueError(
                f"layer {layer}: expected {count} coefficient vectors, one for each LoRA, found {found}: "
                f"make the coefficients from the same LoRAs, in the same order"
            )


def _moments(m: Tensor) -> dict[str, float]:
    values = {"mean": m.mean(), "std": m.std(correction=0), "min": m.min(), "max": m.max()}
    return {key: float(f"{float(value):.6g}") for key, value in values.items()}
