"""Training range: which LoRAs a network was trained on, in numbers, and how far other LoRAs lie outside."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from lorarar.hypernetwork.features import delta_features
from lorarar.lora import Coefficients, Dense, Layer, LoRA
from lorarar.storage import FormatError

RANGE_KEY = "trained_on"  # of a network's header
ENTRY, COEFFICIENT = "typical entry", "mean coefficient"
# Each number of a LoRA with its column in `delta_features`, and whether the column holds its logarithm.
_FEATURES = {
    ENTRY: (0, True),
    "cosine": (2, False),
    "effective rank": (3, True),
    "common outputs": (5, True),
    "common inputs": (6, True),
}
_ENTRY_UNIT = 0.01  # feature 0 is the logarithm of an entry over this
# Training pairs are a sample: a number counts as outside from this share of the range's width on.
_MARGIN = 0.1
# Entries that many times smaller or larger, or coefficients that many times larger, than in training are far outside.
# Measured in experiments/extrapolation: a factor of 4 still helps, files that the network cannot merge have 19.
FAR = 5.0

Measures = Mapping[str, Sequence[float]]  # name of a number -> its value for each LoRA


@dataclass(frozen=True)
class TrainingRange:
    """What a network saw in training.

    Attributes:
        bases: Base models.
        families: Families of the training LoRAs.
        ranges: Name of a number of `measure_loras` -> its smallest and largest value.
    """

    bases: tuple[str, ...]
    families: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]

    def as_text(self) -> str:
        """Return the range as JSON, for the header of a network's file."""
        return json.dumps(asdict(self), sort_keys=True)

    def outside(self, measures: Measures) -> dict[str, list[int]]:
        """Return the numbers that lie outside, each with the indices of the LoRAs to which they belong."""
        found = {
            name: [i for i, value in enumerate(measures[name]) if _is_outside(name, value, *limits)]
            for name, limits in self.ranges.items()
            if name in measures
        }
        return {name: indices for name, indices in found.items() if indices}

    def is_far(self, measures: Measures) -> bool:
        """Return whether an entry or a coefficient is more than `FAR` times outside."""
        if not measures:
            return False
        (low, high), (least, most) = self.ranges[ENTRY], self.ranges[COEFFICIENT]
        largest = FAR * max(abs(least), abs(most))
        entries = any(value < low / FAR or value > high * FAR for value in measures[ENTRY])
        return entries or any(abs(value) > largest for value in measures[COEFFICIENT])


def read_range(metadata: Mapping[str, str]) -> TrainingRange | None:
    """Return the range that a network's header states; None where it states none.

    Raises:
        FormatError: The entry is damaged.
    """
    if RANGE_KEY not in metadata:
        return None
    try:
        stated: dict[str, Any] = json.loads(metadata[RANGE_KEY])
        ranges = {name: (float(low), float(high)) for name, (low, high) in stated["ranges"].items()}
        if not {*_FEATURES, COEFFICIENT} == ranges.keys():
            raise ValueError(f"numbers {sorted(ranges)}")
        return TrainingRange(tuple(map(str, stated["bases"])), tuple(map(str, stated["families"])), ranges)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(
            f"expected the range of {', '.join([*_FEATURES, COEFFICIENT])} under {RANGE_KEY!r} in the network's "
            f"header, found {error}: train it again"
        ) from error


def measure_loras(loras: Sequence[LoRA], layers: Sequence[str], coefficients: Coefficients) -> dict[str, list[float]]:
    """Return a few numbers of each LoRA of a merge, each a mean over the layers that a network predicts.

    Args:
        loras: Two or more LoRAs.
        layers: The layers.
        coefficients: What the network predicts, without LoRA weights.

    Returns:
        Name -> number for each LoRA; nothing where the LoRAs share none of the layers. The typical entry, the effective
        rank and the shares of common output and input directions are geometric means, the others arithmetic ones; see
        `lorarar.hypernetwork.features`.
    """
    layers = [layer for layer in layers if all(layer in lora.layers for lora in loras)]  # a constant has others too
    if not layers:
        return {}
    device = loras[0].layers[layers[0]].device
    means = delta_features(loras, layers, device).mean(dim=1).cpu()
    measures = {}
    for name, (column, logarithm) in _FEATURES.items():
        values = means[:, column].exp() if logarithm else means[:, column]
        measures[name] = (values * (_ENTRY_UNIT if name == ENTRY else 1.0)).tolist()
    vectors = [coefficients.layers[layer] for layer in layers]
    sides = [torch.stack([row[i].detach().float().mean() for row in vectors]).mean() for i in range(len(loras))]
    return measures | {COEFFICIENT: [float(side) for side in sides]}


@torch.no_grad()
def observe_range(
    module: nn.Module,
    pairs: Iterable[Sequence[LoRA]],
    bases: Sequence[str],
    weight_jitter: float = 0.0,
) -> TrainingRange:
    """Return the range of training pairs.

    Args:
        module: The trained network.
        pairs: Pairs of LoRAs, content and style, on the network's device.
        bases: Base models.
        weight_jitter: Training multiplied each LoRA by a factor between exp(-weight_jitter) and exp(weight_jitter);
            each pair is measured at both ends too.
    """
    found: dict[str, list[float]] = {}
    families = set()
    low, high = math.exp(-weight_jitter), math.exp(weight_jitter)
    factors = [(1.0, 1.0), *([(low, low), (low, high), (high, low), (high, high)] if weight_jitter else [])]
    for pair in pairs:
        families |= {lora.family for lora in pair}
        for numbers in factors:
            loras = [_times(lora, number) for lora, number in zip(pair, numbers, strict=True)]
            for name, values in measure_loras(loras, module.predicted(loras), module(loras)).items():  # type: ignore[operator]
                found.setdefault(name, []).extend(values)
    ranges = {name: (float(f"{min(values):.4g}"), float(f"{max(values):.4g}")) for name, values in found.items()}
    return TrainingRange(tuple(bases), tuple(sorted(families - {""})), ranges)


def _times(lora: LoRA, number: float) -> LoRA:
    def scaled(layer: Layer) -> Layer:
        if isinstance(layer, Dense):
            return replace(layer, tensor=layer.tensor * number)
        return replace(layer, scale=layer.scale * number)

    return replace(lora, layers={path: scaled(layer) for path, layer in lora.layers.items()})


def _is_outside(name: str, value: float, low: float, high: float) -> bool:
    if _FEATURES.get(name, (0, False))[1]:
        value, low, high = (math.log(max(number, 1e-12)) for number in (value, low, high))
    margin = _MARGIN * (high - low) + 1e-6
    return not low - margin <= value <= high + margin
