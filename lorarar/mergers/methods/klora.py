"""K-LoRA: in each sampling step each layer takes either the content or the style, by their largest entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lorarar.lora import Layer, LoRA, LowRank, check_same_shapes, is_text_encoder
from lorarar.mergers.methods.layers import add_deltas


def klora(
    loras: Sequence[LoRA], steps: int, *, alpha: float = 1.5, beta: float = 0.5, wrapped: bool = False
) -> list[tuple[LoRA, ...]]:
    """Return one LoRA for each sampling step, composed of layers of the content and of the style.

    A layer takes the content where S_c > S_s gamma (alpha t / T + beta), else the style. S_c and S_s are the sums of
    the K = r_c r_s largest entries of |dW_c| and |dW_s|, gamma = sum |dW_c| / sum |dW_s| over all layers that both
    LoRAs have, t is the step, counted from 0 (the noisiest), and T the number of steps. So the content acts early and
    the style late. A layer that one LoRA lacks is taken from the other; text encoders, norms and biases are summed.

    Args:
        loras: [content, style], with weights folded into their deltas.
        steps: Number of steps T.
        alpha: Slope of the style's factor.
        beta: The style's factor at the first step.
        wrapped: Whether the factor is taken modulo alpha, as in variant "s*" of the release.

    Returns:
        A tuple of one LoRA for each step.

    Raises:
        ValueError: The number of LoRAs is not two, their shapes clash, or alpha is not above 0 with `wrapped`.

    Reference:
        K-LoRA, arXiv 2502.18461. (For gamma the published code takes the mean of the layers' ratios, and it ignores
        alpha / rank.)
    """
    if len(loras) != 2:
        raise ValueError(f"expected two LoRAs for K-LoRA, [content, style], found {len(loras)}: give two")
    check_same_shapes(loras)
    content, style = loras
    sums = {layer: _sums(content.layers[layer], style.layers[layer]) for layer in choosable_layers(content, style)}
    if wrapped and not alpha > 0:
        raise ValueError(f"expected alpha above 0 for the factor modulo alpha, found {alpha}: choose a larger one")
    factors = (alpha * t / steps + beta for t in range(steps))
    return [(_mixture(content, style, sums, f % alpha if wrapped else f),) for f in factors]


def choosable_layers(content: LoRA, style: LoRA) -> Iterator[str]:
    """Yield the layers of which each step takes one LoRA's: weights outside the text encoders that both hold."""
    for layer, delta in content.layers.items():
        if layer in style.layers and len(delta.shape) == 2 and not is_text_encoder(layer):
            yield layer


def mixture(content: LoRA, style: LoRA, content_wins: Mapping[str, bool], name: str) -> LoRA:
    """Return the LoRA of one step: the winner's layers, where there is one, and the sum of the others."""
    layers: dict[str, Layer] = {}
    for layer in dict.fromkeys([*content.layers, *style.layers]):
        if layer in content_wins:
            layers[layer] = (content if content_wins[layer] else style).layers[layer]
        else:
            layers[layer] = add_deltas([lora.layers[layer] for lora in (content, style) if layer in lora.layers])
    return LoRA(layers, name=name)


@dataclass(frozen=True)
class _Sums:
    """Sums of one layer, over its K largest magnitudes (top) and over all magnitudes."""

    content_top: float
    content_all: float
    style_top: float
    style_all: float


def _sums(content: Layer, style: Layer) -> _Sums:
    k = min(_rank(content) * _rank(style), content.shape[0] * content.shape[1])
    numbers = []
    for delta in (content, style):
        magnitudes = delta.delta().abs().flatten()
        numbers += [float(magnitudes.topk(k, sorted=False).values.sum()), float(magnitudes.sum())]
    return _Sums(*numbers)


def _mixture(content: LoRA, style: LoRA, sums: dict[str, _Sums], factor: float) -> LoRA:
    """Return the LoRA of one step.

    The comparison is multiplied out, S_c sum|dW_s| > S_s sum|dW_c| factor, so that a LoRA of zeros divides nothing.
    """
    content_all = sum(s.content_all for s in sums.values())
    style_all = sum(s.style_all for s in sums.values())
    wins = {
        layer: s.content_top * style_all > s.style_top * content_all * factor or not style_all
        for layer, s in sums.items()
    }
    return mixture(content, style, wins, "K-LoRA")


def _rank(delta: Layer) -> int:
    return delta.rank if isinstance(delta, LowRank) else min(delta.shape)
