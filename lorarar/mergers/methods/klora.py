"""K-LoRA: while sampling, each layer takes either the content or the style, by their largest entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lorarar.lora import Layer, LoRA, LowRank, check_same_shapes, is_text_encoder
from lorarar.mergers.methods.layers import add


def klora(
    loras: Sequence[LoRA], steps: int, *, alpha: float = 1.5, beta: float = 0.5, wrapped: bool = False
) -> list[tuple[LoRA, ...]]:
    """One LoRA for each sampling step, mixed of the content's and the style's layers.

    A layer takes the content where S_c > S_s gamma (alpha t / T + beta), else the style. S_c and S_s are the sums of
    the K = r_c r_s largest entries of |dW_c| and |dW_s|, gamma = sum |dW_c| / sum |dW_s| over all layers that both
    have, t the step from 0 (the noisiest), T the number of steps. So the content comes early and the style late.
    Layers that one LoRA has are its own; text encoders, norms and biases are summed.

    Args:
        loras: [content, style], weights folded in.
        steps: T.
        alpha: Slope of the style's factor.
        beta: The style's factor at the first step.
        wrapped: The release's variant "s*": the factor is taken modulo alpha.

    Returns:
        `steps` times one LoRA.

    Raises:
        ValueError: There are not two LoRAs, or their shapes clash.

    Reference:
        K-LoRA, arXiv 2502.18461. (The published code has the mean of the layers' ratios for gamma, and ignores alpha /
        rank.)
    """
    if len(loras) != 2:
        raise ValueError(f"K-LoRA chooses between exactly two LoRAs, [content, style], found {len(loras)}")
    check_same_shapes(loras)
    content, style = loras
    sums = {layer: _sums(content.layers[layer], style.layers[layer]) for layer in _contested(content, style)}
    if wrapped and not alpha > 0:
        raise ValueError(f"expected alpha above 0, found {alpha}: the variant takes the factor modulo alpha")
    factors = (alpha * t / steps + beta for t in range(steps))
    return [(_mixture(content, style, sums, f % alpha if wrapped else f),) for f in factors]


@dataclass(frozen=True)
class _Sums:
    """Of one layer: the sums of the largest and of all entries' magnitudes."""

    content_top: float
    content_all: float
    style_top: float
    style_all: float


def _contested(content: LoRA, style: LoRA) -> Iterator[str]:
    for layer, delta in content.layers.items():
        if layer in style.layers and len(delta.shape) == 2 and not is_text_encoder(layer):
            yield layer


def _sums(content: Layer, style: Layer) -> _Sums:
    k = min(_rank(content) * _rank(style), content.shape[0] * content.shape[1])
    numbers = []
    for delta in (content, style):
        magnitudes = delta.delta().abs().flatten()
        numbers += [float(magnitudes.topk(k, sorted=False).values.sum()), float(magnitudes.sum())]
    return _Sums(*numbers)


def _mixture(content: LoRA, style: LoRA, sums: dict[str, _Sums], factor: float) -> LoRA:
    """The layers of one step."""
    # Multiplied out, so that a LoRA of zeros needs no care: S_c sum|dW_s| > S_s sum|dW_c| factor.
    content_all = sum(s.content_all for s in sums.values())
    style_all = sum(s.style_all for s in sums.values())
    layers: dict[str, Layer] = {}
    for layer in dict.fromkeys([*content.layers, *style.layers]):
        sides = [lora.layers[layer] for lora in (content, style) if layer in lora.layers]
        if layer not in sums:
            layers[layer] = add(sides)
            continue
        s = sums[layer]
        wins = s.content_top * style_all > s.style_top * content_all * factor or not style_all
        layers[layer] = sides[0] if wins else sides[1]
    return LoRA(layers, name="K-LoRA")


def _rank(delta: Layer) -> int:
    return delta.rank if isinstance(delta, LowRank) else min(delta.shape)
