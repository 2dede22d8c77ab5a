"""K-LoRA: in each sampling step each layer takes either the content or the style, by their largest entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lorarar.lora import Layer, LoRA, LowRank, check_same_shapes, is_text_encoder
from lorarar.mergers.methods.layers import add_deltas
from lorarar.storage import track


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
    paths = track(list(choosable_layers(content, style)), "compare", unit="layers")
    sums = {layer: _sums(content.layers[layer], style.layers[layer]) for layer in paths}
    if wrapped and not alpha > 0:
        raise ValueError(f"expected alpha above 0 for the factor modulo alpha, found {alpha}: choose a larger one")
    factors = (alpha * t / steps + beta for t in range(steps))
    wins = [_content_wins(sums, f % alpha if wrapped else f) for f in factors]
    return mixtures(content, style, wins, "K-LoRA")


def choosable_layers(content: LoRA, style: LoRA) -> Iterator[str]:
    """Yield the layers of which each step takes one LoRA's: weights outside the text encoders that both hold."""
    for layer, delta in content.layers.items():
        if layer in style.layers and len(delta.shape) == 2 and not is_text_encoder(layer):
            yield layer


def mixtures(
    content: LoRA, style: LoRA, content_wins: Sequence[Mapping[str, bool]], name: str
) -> list[tuple[LoRA, ...]]:
    """Return the LoRA of each step: the winner's layers, where there is one, and the sum of the others.

    Args:
        content, style: The LoRAs.
        content_wins: Whether the content's layer acts, by layer, for each step; the same layers in every step.
        name: Name of the result.
    """
    chosen = {layer for wins in content_wins[:1] for layer in wins}
    summed = {  # once for all steps
        layer: add_deltas([lora.layers[layer] for lora in (content, style) if layer in lora.layers])
        for layer in dict.fromkeys([*content.layers, *style.layers])
        if layer not in chosen
    }
    return [(LoRA({**_winners(content, style, wins), **summed}, name=name),) for wins in content_wins]


def _winners(content: LoRA, style: LoRA, content_wins: Mapping[str, bool]) -> dict[str, Layer]:
    return {layer: (content if wins else style).layers[layer] for layer, wins in content_wins.items()}


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


def _content_wins(sums: dict[str, _Sums], factor: float) -> dict[str, bool]:
    """Return for each layer whether one step takes the content.

    The comparison is multiplied out, S_c sum|dW_s| > S_s sum|dW_c| factor, so that a LoRA of zeros divides nothing.
    """
    content_all = sum(s.content_all for s in sums.values())
    style_all = sum(s.style_all for s in sums.values())
    return {
        layer: s.content_top * style_all > s.style_top * content_all * factor or not style_all
        for layer, s in sums.items()
    }


def _rank(delta: Layer) -> int:
    return delta.rank if isinstance(delta, LowRank) else min(delta.shape)
