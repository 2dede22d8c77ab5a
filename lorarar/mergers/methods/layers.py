"""Runs a merger of the kind "delta" over all layers, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lorarar.lora import Dense, Layer, LoRA, LowRank, check_same_shapes, concat

DeltaCall = Callable[..., Layer]


def merge_deltas(
    loras: Sequence[LoRA], call: DeltaCall, finish: Callable[[str, Layer], Layer] = lambda layer, merged: merged
) -> LoRA:
    """Merges layer by layer, so that one layer's dense deltas are in memory at a time.

    Args:
        loras: One or more LoRAs of one base model in the order that the merger expects, with weights
            folded into their deltas.
        call: (deltas, layer=path) -> the merged delta, for weights (out, in); None stands for a LoRA without the layer.
        finish: (path, merged delta) -> delta: what is done to a merged weight before the next layer is begun, such as
            truncation to a rank. Norms and biases do not pass through it.

    Returns:
        The merged LoRA. Norms and biases (1-D) are summed.

    Raises:
        ValueError: There are no LoRAs, their shapes clash, or the merger refuses a layer.
    """
    if not loras:
        raise ValueError("expected at least one LoRA to merge, found none")
    check_same_shapes(loras)
    layers = dict.fromkeys(layer for lora in loras for layer in lora.layers)
    return LoRA({layer: _merge_layer(layer, loras, call, finish) for layer in layers})


def add(deltas: Sequence[Layer]) -> Layer:
    """The exact sum of deltas of one shape: thin factors side by side where all have them, else entry by entry."""
    thin = [delta for delta in deltas if isinstance(delta, LowRank)]
    if len(thin) == len(deltas):
        return concat(thin)
    tensors = [delta.delta() for delta in deltas]
    return Dense(sum(tensors[1:], tensors[0]), next((delta.kernel for delta in deltas if delta.kernel), ()))


def present(deltas: Sequence[Layer | None]) -> list[Layer]:
    """The deltas of the LoRAs that have the layer."""
    return [delta for delta in deltas if delta is not None]


def _merge_layer(layer: str, loras: Sequence[LoRA], call: DeltaCall, finish: Callable[[str, Layer], Layer]) -> Layer:
    deltas = [lora.layers.get(layer) for lora in loras]
    if len(present(deltas)[0].shape) == 1:
        return add(present(deltas))
    return finish(layer, call(deltas, layer=layer))
