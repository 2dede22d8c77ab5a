"""Balance: LoRAs brought to one length, layer by layer, before they are merged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import torch

from lorarar.lora import Coefficients, LoRA, delta_norm, label, scale_layers


def balance_loras(loras: Sequence[LoRA], exponent: float) -> tuple[list[LoRA], Coefficients]:
    """Bring the deltas of each layer towards the geometric mean of their lengths (Frobenius norms).

    The delta of LoRA i is multiplied by (mean / length_i) ** exponent: 0 leaves it, 1 gives all deltas of the layer one
    length. The geometric mean leaves the product of the lengths as it is, and with it a layer that one LoRA alone has.
    Deltas of zeros, norms and biases stay.

    Args:
        loras: One or more LoRAs of one base model.
        exponent: How far, 0 to 1.

    Returns:
        The balanced LoRAs, and their factors: one number () for each LoRA in each layer.
    """
    if exponent == 0:  # nothing to measure
        ones = (torch.ones(()),) * len(loras)
        return list(loras), Coefficients({layer: ones for lora in loras for layer in lora.layers})
    factors: dict[str, tuple[float, ...]] = {}
    for path in dict.fromkeys(layer for lora in loras for layer in lora.layers):
        held = [lora.layers.get(path) for lora in loras]
        lengths = [delta_norm(delta) if delta is not None and len(delta.shape) == 2 else 0.0 for delta in held]
        logs = [math.log(length) for length in lengths if length > 0]
        mean = sum(logs) / len(logs) if logs else 0.0
        factors[path] = tuple(
            math.exp(exponent * (mean - math.log(length))) if length > 0 else 1.0 for length in lengths
        )
    balanced = [scale_layers(lora, {path: row[i] for path, row in factors.items()}) for i, lora in enumerate(loras)]
    return balanced, Coefficients({path: tuple(map(torch.tensor, row)) for path, row in factors.items()})


def describe_balance(loras: Sequence[LoRA], factors: Coefficients, exponent: float) -> list[str]:
    """Return a note on what balancing did to the longest and the shortest LoRA; none where it did nothing.

    Args:
        loras: The LoRAs, for their names.
        factors: As `balance_loras` returns them.
        exponent: How far, 0 to 1.
    """
    rows = torch.tensor([[float(factor) for factor in row] for row in factors.layers.values()])
    if exponent == 0 or bool((rows == 1).all()):
        return []
    changed = rows[(rows != 1).any(1)]
    apart, longer, shorter = 0.0, 0, 0
    for i, j in permutations(range(len(loras)), 2):
        both = changed[(changed[:, [i, j]] != 1).all(1)]
        times = float((both[:, j] / both[:, i]).log().quantile(0.5)) / exponent if len(both) else 0.0
        if times > apart:
            apart, longer, shorter = times, i, j
    text = f"(balance {exponent:g}, {len(changed)} of {len(rows)} layers)"
    if not apart:
        return [f"the lengths of each layer were brought {'' if exponent == 1 else 'closer '}to one {text}"]
    after = "one length" if exponent == 1 else f"{math.exp(apart * (1 - exponent)):.3g} times"
    strong, weak = label(loras[longer], longer), label(loras[shorter], shorter)
    times_as = f"{math.exp(apart):.3g} times as strong as"
    return [f"{strong} is {times_as} {weak} in the median layer: brought to {after} {text}"]
