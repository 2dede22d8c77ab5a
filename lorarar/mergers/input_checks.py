"""Input checks: LoRAs outside what a network was trained on, and LoRAs of very different lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from lorarar.formats import sketches
from lorarar.hypernetwork import COEFFICIENT, ENTRY, Measures, Network, TrainingRange, measure_loras
from lorarar.lora import Coefficients, InputWeights, LoRA, label, lora_norm, merge_exactly, weight_loras

# A LoRA that is so many times longer than another covers it.
_UNEQUAL = 10.0
_SURELY_EQUAL = 2.5  # ratio of estimated lengths up to which they are not measured


def check_range(
    network: Network, loras: Sequence[LoRA], coefficients: Coefficients, *, allow_extrapolation: bool
) -> list[str]:
    """Return warnings about LoRAs that lie outside what a network was trained on, with the numbers.

    Args:
        network: The network; one whose file does not state its training gives no warning.
        loras: The LoRAs, without weights.
        coefficients: What it predicts for them.
        allow_extrapolation: Whether it may merge LoRAs that lie far outside.

    Raises:
        ValueError: They lie far outside, and that is not allowed.
    """
    trained, layers = network.trained_on, network.predicted(loras)
    if trained is None or not layers:
        return []
    measures = measure_loras(loras, layers, coefficients)
    outside = trained.outside(measures)
    if trained.is_far(measures) and not allow_extrapolation:
        decisive = {name: outside[name] for name in (ENTRY, COEFFICIENT) if name in outside}
        numbers = _numbers(trained, measures, decisive, loras)
        raise ValueError(
            f"expected LoRAs like those that {network.file.name} was trained on ({_families(trained.families)}), found "
            f"some far outside: {numbers}: merge by `merger=direct` with `weights`, train a network for their base "
            "(`lorarar train`), or give `allow_extrapolation=True`"
        )
    numbers = _numbers(trained, measures, outside, loras)
    other = {lora.family for lora in loras} - set(trained.families)
    parts = [f"it was trained on LoRAs of {_families(trained.families)}, not {_families(other)}"] if other else []
    parts += [f"outside its training: {numbers}"] if numbers else []
    return [f"{network.file.name} extrapolates: {'; '.join(parts)}"] if parts else []


def check_lengths(
    loras: Sequence[LoRA], weights: InputWeights, balance: float = 0.0, network_coefficients: Coefficients | None = None
) -> tuple[list[str], list[str]]:
    """Return notes and warnings about LoRAs whose lengths (Frobenius norms) differ more than tenfold.

    Args:
        loras: The LoRAs, balanced and without weights.
        weights: Their weights, which count.
        balance: How far they have been balanced.
        network_coefficients: Coefficients that were predicted or optimised for them, weights included; these may bring
            the lengths together, and then there is no warning. None for other methods.
    """
    weighted = weight_loras(loras, weights)
    if _ratio([_estimated_length(lora) for lora in weighted]) <= _SURELY_EQUAL:
        return [], []
    lengths = [lora_norm(lora) for lora in weighted]
    if _ratio(lengths) <= _UNEQUAL:
        return [], []
    names = " and ".join(label(lora, i) for i, lora in enumerate(loras))
    text = f"{'after balancing, ' if balance else ''}the lengths of {names} differ "
    text += f"{_ratio(lengths):.3g}-fold ({', '.join(f'{length:.3g}' for length in lengths)})"
    if network_coefficients:
        applied = [_applied_length(loras, network_coefficients, i) for i in range(len(loras))]
        if _ratio(applied) <= _UNEQUAL:
            return [f"{text}; the coefficients bring that to {_ratio(applied):.3g}-fold"], []
        lengths = applied
    remedy = f"`weights={_equal(lengths, weights)}` brings them to one length"
    if balance < 1 and len(set(weights.weights)) == 1:
        remedy += ", `balance=1` the layers that they share"
    return [], [f"{text}, and the longer covers the other: {remedy}"]


def _estimated_length(lora: LoRA) -> float:
    """Return the length of a LoRA up to a factor that all share, estimated at a fifth of the cost of measuring it."""
    return math.hypot(*(float(sketch.norm()) for sketch in sketches(lora.layers).values()))


def _applied_length(loras: Sequence[LoRA], coefficients: Coefficients, index: int) -> float:
    """Return the length of what one LoRA adds to a merge."""
    own = {path: (coefficients.layers[path][index],) for path in loras[index].layers}
    with torch.no_grad():
        return lora_norm(merge_exactly([loras[index]], Coefficients(own)))


def _ratio(lengths: Sequence[float]) -> float:
    """Return the longest over the shortest; a LoRA of zeros, such as one of weight 0, does not count."""
    positive = [length for length in lengths if length > 0]
    return max(positive) / min(positive) if positive else 1.0


def _equal(lengths: Sequence[float], weights: InputWeights) -> list[float]:
    """Return the weights that bring all LoRAs to the geometric mean of their lengths."""
    logs = [math.log(length) for length in lengths if length > 0]
    mean = math.exp(sum(logs) / len(logs))
    factors = [mean / length if length > 0 else 1.0 for length in lengths]
    return [float(f"{weight * factor:.2g}") for weight, factor in zip(weights.weights, factors, strict=True)]


def _numbers(
    trained: TrainingRange, measures: Measures, outside: Mapping[str, Sequence[int]], loras: Sequence[LoRA]
) -> str:
    parts = []
    for name, indices in outside.items():
        low, high = trained.ranges[name]
        found = ", ".join(f"{measures[name][i]:.3g} in {label(loras[i], i)}" for i in indices)
        parts.append(f"{name} {found} (trained on {low:.3g} to {high:.3g})")
    return "; ".join(parts)


def _families(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(name or "an unknown family" for name in names)) or "an unknown family"
