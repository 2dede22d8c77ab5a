"""EST-LoRA: in each sampling step each layer takes either the content or the style, by their energies."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import Layer, LoRA, LowRank, check_same_shapes, inner
from lorarar.mergers.methods.klora import choosable_layers, mixtures


def est_lora(
    loras: Sequence[LoRA], steps: int, *, alpha: float = 1.5, discrepancy: float = 0.5
) -> list[tuple[LoRA, ...]]:
    """Return one LoRA for each sampling step, composed of layers of the content and of the style.

    A layer takes the content where E_c >= E_s (alpha t / T + 1 - d), else the style. E = |dW|_F^2 is the energy, t the
    step, counted from 0 (the noisiest), of T, and d the style's discrepancy. A layer that one LoRA lacks is taken from
    the other; text encoders, norms and biases are summed.

    The paper's formula was not at hand: this is its abstract (energy, style discrepancy, time step), as SD.Next
    implements it, with its slope and its d, which the paper estimates from images of the style.

    Args:
        loras: [content, style], with weights folded into their deltas.
        steps: Number of steps T.
        alpha: Slope of the style's factor.
        discrepancy: How far the style is from what the base draws, d, 0 to 1.

    Returns:
        A tuple of one LoRA for each step.

    Raises:
        ValueError: The number of LoRAs is not two, or their shapes clash.

    Reference:
        EST-LoRA, arXiv 2508.02165.
    """
    if len(loras) != 2:
        raise ValueError(f"expected two LoRAs for EST-LoRA, [content, style], found {len(loras)}: give two")
    check_same_shapes(loras)
    content, style = loras
    energies = {
        layer: tuple(_energy(lora.layers[layer]) for lora in (content, style))
        for layer in choosable_layers(content, style)
    }
    factors = (alpha * t / steps + 1 - discrepancy for t in range(steps))
    wins = [{layer: e_c >= e_s * f for layer, (e_c, e_s) in energies.items()} for f in factors]
    return mixtures(content, style, wins, "EST-LoRA")


def _energy(delta: Layer) -> float:
    return float(inner(delta, delta) if isinstance(delta, LowRank) else delta.delta().square().sum())
