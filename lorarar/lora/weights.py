"""LoRA weights: the user's factors for whole inputs, for blocks and for text encoders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from lorarar.lora.coefficients import Coefficients
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA, block, is_text_encoder


@dataclass(frozen=True)
class InputWeights:
    """Factors for the inputs of a merge. All factors that apply to a layer are multiplied.

    Attributes:
        weights: One factor for each input.
        blocks: Start of a layer path, up to a dot ("up_blocks.1", "mid_block.attentions.0") -> one factor for each
            input. If several starts match a layer, the longest applies.
        text_encoder: One factor for each input, for the layers of all text encoders.
    """

    weights: tuple[float, ...]
    blocks: Mapping[str, tuple[float, ...]]
    text_encoder: tuple[float, ...]

    def facts(self) -> dict[str, Any]:
        """Return the factors other than 1 as plain data, under "weights", "blocks" and "text_encoder"."""
        blocks = {name: list(numbers) for name, numbers in self.blocks.items()}
        settings = {"weights": list(self.weights), "blocks": blocks, "text_encoder": list(self.text_encoder)}
        return {name: value for name, value in settings.items() if value and value != [1.0] * len(value)}

    def of(self, layer: str) -> tuple[float, ...]:
        """Return one factor for each input in this layer."""
        factors = self.weights
        matching = [start for start in self.blocks if f"{layer}.".startswith(f"{start}.")]
        if matching:
            factors = _product(factors, self.blocks[max(matching, key=len)])
        return _product(factors, self.text_encoder) if is_text_encoder(layer) else factors


def input_weights(
    loras: Sequence[LoRA],
    weights: Sequence[float] | None = None,
    blocks: Mapping[str, float | Sequence[float]] | None = None,
    text_encoder: float | Sequence[float] | None = None,
) -> InputWeights:
    """Make the LoRA weights for these inputs. A missing argument means 1; one number applies to all inputs.

    Args:
        loras: The inputs.
        weights: One factor for each input.
        blocks: Start of a layer path -> one factor for each input.
        text_encoder: One factor for each input, for the layers of all text encoders.

    Raises:
        ValueError: The count of numbers is neither 1 nor the number of inputs, a number is not finite, or a block
            contains no layer.
    """
    count = len(loras)
    layers = {layer for lora in loras for layer in lora.layers}
    for name in blocks or {}:
        if not any(f"{layer}.".startswith(f"{name}.") for layer in layers):
            raise ValueError(
                f"expected the start of layer paths in `blocks`, found {name!r}, which starts none: name one such as "
                f"{', '.join(sorted({block(layer) for layer in layers})[:8])}"
            )
    return InputWeights(
        _each("`weights`", weights, count),
        {name: _each(f"block {name}", value, count) for name, value in (blocks or {}).items()},
        _each("`text_encoder`", text_encoder, count),
    )


def weight_coefficients(coefficients: Coefficients, weights: InputWeights) -> Coefficients:
    """Multiply every coefficient by the LoRA weight of its layer and input."""
    layers: dict[str, tuple[Tensor, ...]] = {}
    for layer, vectors in coefficients.layers.items():
        layers[layer] = tuple(m * number for m, number in zip(vectors, weights.of(layer), strict=True))
    return Coefficients(layers)


def weight_loras(loras: Sequence[LoRA], weights: InputWeights) -> list[LoRA]:
    """Multiply every delta by the LoRA weight of its layer and input, for mergers without coefficients."""
    return [
        scale_layers(lora, {layer: weights.of(layer)[index] for layer in lora.layers})
        for index, lora in enumerate(loras)
    ]


def drop_muted(loras: Sequence[LoRA], weights: InputWeights) -> list[LoRA]:
    """Leave out each delta of weight 0 where another LoRA's delta of this layer has another weight.

    Args:
        loras: The inputs, in order.
        weights: Their weights.

    Returns:
        LoRAs of the same layers together, with the deltas that count.
    """
    heard = {layer for index, lora in enumerate(loras) for layer in lora.layers if weights.of(layer)[index] != 0}
    return [
        replace(lora, layers={p: d for p, d in lora.layers.items() if p not in heard or weights.of(p)[index] != 0})
        for index, lora in enumerate(loras)
    ]


def scale_layers(lora: LoRA, factors: Mapping[str, float]) -> LoRA:
    """Multiply the delta of each layer by its factor; a low-rank delta keeps its factors and gets another scale."""
    return replace(lora, layers={layer: _times(delta, factors[layer]) for layer, delta in lora.layers.items()})


def _times(delta: Layer, number: float) -> Layer:
    if isinstance(delta, Dense):
        return delta if number == 1 else replace(delta, tensor=delta.delta() * number)
    return replace(delta, scale=delta.scale * number)


def _each(name: str, value: float | Sequence[float] | None, count: int) -> tuple[float, ...]:
    if value is None:
        value = 1.0
    numbers = [value] if isinstance(value, int | float) else list(value)
    if len(numbers) not in (1, count):
        raise ValueError(
            f"expected {name} with one number or one for each of {count} inputs, found {numbers}: give one for each"
        )
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"expected finite numbers for {name}, found {numbers}: give numbers such as 0.8")
    if len(numbers) != count:
        numbers = numbers * count
    return tuple(float(number) for number in numbers)


def _product(a: Iterable[float], b: Iterable[float]) -> tuple[float, ...]:
    return tuple(x * y for x, y in zip(a, b, strict=True))
