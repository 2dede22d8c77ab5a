"""How strong each input is in a merge: as a whole, in a block, in the text encoders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lorarar.lora.coefficients import Coefficients
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA, block, is_text_encoder


@dataclass(frozen=True)
class InputWeights:
    """Numbers that multiply the inputs; those that apply to a layer are multiplied with each other.

    Args:
        weights: One for each input.
        blocks: Beginning of a layer path, up to a dot ("up_blocks.1", "mid_block.attentions.0") -> one for each
            input. Where several fit, the longest counts.
        text_encoder: One for each input, for the layers of all text encoders.
    """

    weights: tuple[float, ...]
    blocks: Mapping[str, tuple[float, ...]]
    text_encoder: tuple[float, ...]

    def facts(self) -> dict[str, Any]:
        """Those that are not all 1, as plain data: "weights", "blocks", "text_encoder"."""
        blocks = {name: list(numbers) for name, numbers in self.blocks.items()}
        given = {"weights": list(self.weights), "blocks": blocks, "text_encoder": list(self.text_encoder)}
        return {name: value for name, value in given.items() if value and value != [1.0] * len(value)}

    def of(self, layer: str) -> tuple[float, ...]:
        """One number for each input in a layer."""
        found = self.weights
        fitting = [beginning for beginning in self.blocks if f"{layer}.".startswith(f"{beginning}.")]
        if fitting:
            found = _product(found, self.blocks[max(fitting, key=len)])
        return _product(found, self.text_encoder) if is_text_encoder(layer) else found


def input_weights(
    loras: Sequence[LoRA],
    weights: Sequence[float] | None = None,
    blocks: Mapping[str, float | Sequence[float]] | None = None,
    text_encoder: float | Sequence[float] | None = None,
) -> InputWeights:
    """Strengths for these inputs; what is not given is 1, and one number stands for all inputs.

    Raises:
        ValueError: There is neither one number nor one for each input, one is not finite, or no layer lies in a named
            block.
    """
    count = len(loras)
    layers = {layer for lora in loras for layer in lora.layers}
    for name in blocks or {}:
        if not any(f"{layer}.".startswith(f"{name}.") for layer in layers):
            raise ValueError(
                f"no layer lies in block {name!r}: expected the beginning of a layer path, such as "
                f"{', '.join(sorted({block(layer) for layer in layers})[:8])}"
            )
    return InputWeights(
        _each("weights", weights, count),
        {name: _each(f"block {name}", value, count) for name, value in (blocks or {}).items()},
        _each("text-encoder strengths", text_encoder, count),
    )


def apply_weights(coefficients: Coefficients, strengths: InputWeights) -> Coefficients:
    """Every coefficient times its layer's strength."""
    return Coefficients(
        {
            layer: tuple(m * number for m, number in zip(vectors, strengths.of(layer), strict=True))
            for layer, vectors in coefficients.layers.items()
        }
    )


def weighted(loras: Sequence[LoRA], strengths: InputWeights) -> list[LoRA]:
    """Every delta times its layer's strength, for mergers that have no coefficients."""
    return [
        replace(lora, layers={la: _times(delta, strengths.of(la)[i]) for la, delta in lora.layers.items()})
        for i, lora in enumerate(loras)
    ]


def _times(delta: Layer, number: float) -> Layer:
    if isinstance(delta, Dense):
        return delta if number == 1 else replace(delta, tensor=delta.delta() * number)
    return replace(delta, scale=delta.scale * number)


def _each(name: str, value: float | Sequence[float] | None, count: int) -> tuple[float, ...]:
    numbers = [1.0] if value is None else [value] if isinstance(value, int | float) else list(value)
    if len(numbers) not in (1, count):
        raise ValueError(f"expected one number of {name}, or one for each of {count} inputs, found {numbers}")
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"expected finite {name}, found {numbers}")
    return tuple(float(number) for number in (numbers if len(numbers) == count else numbers * count))


def _product(a: Iterable[float], b: Iterable[float]) -> tuple[float, ...]:
    return tuple(x * y for x, y in zip(a, b, strict=True))
