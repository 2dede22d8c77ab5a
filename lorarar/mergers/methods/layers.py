"""Layers: a merger of the kind "delta", run over all layers, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lorarar.lora import Dense, Layer, LoRA, LowRank, check_same_shapes, concat, in_threads, keep_freed_memory
from lorarar.storage import track

DeltaCall = Callable[..., Layer]


def merge_deltas(
    loras: Sequence[LoRA], call: DeltaCall, finish: Callable[[str, Layer], Layer] = lambda layer, merged: merged
) -> LoRA:
    """Merge layer by layer, so that the dense deltas of only as many layers as threads are in memory at a time.

    Args:
        loras: One or more LoRAs of one base model in the order that the merger expects, with weights folded into their
            deltas.
        call: Function (deltas, layer=path) -> merged delta, for weights (out, in); the delta of a LoRA that lacks the
            layer is None. It is called from several threads at once, as `finish` is.
        finish: Function (path, merged delta) -> delta that is applied to each merged weight at once, such as truncation
            to a rank. It is not applied to norms and biases.

    Returns:
        The merged LoRA. Norms and biases (1-D) are summed.

    Raises:
        ValueError: There are no LoRAs, their shapes clash, or the merger refuses a layer.
    """
    if not loras:
        raise ValueError("expected at least one LoRA to merge, found none")
    check_same_shapes(loras)
    keep_freed_memory()
    layers = list(dict.fromkeys(layer for lora in loras for layer in lora.layers))
    merged = in_threads(lambda layer: _merge_layer(layer, loras, call, finish), layers)
    return LoRA(dict(zip(layers, track(merged, "merge", len(layers), "layers"), strict=True)))


def add_deltas(deltas: Sequence[Layer]) -> Layer:
    """Return the exact sum of deltas of one shape: factors side by side if all are low-rank, else a dense sum."""
    low_rank = [delta for delta in deltas if isinstance(delta, LowRank)]
    if len(low_rank) == len(deltas):
        return concat(low_rank)
    tensors = [delta.delta() for delta in deltas]
    kernel = next((delta.kernel for delta in deltas if delta.kernel), ())
    return Dense(sum(tensors[1:], tensors[0]), kernel)


def present(deltas: Sequence[Layer | None]) -> list[Layer]:
    """Return the deltas of the LoRAs that hold the layer."""
    return [delta for delta in deltas if delta is not None]


def _merge_layer(layer: str, loras: Sequence[LoRA], call: DeltaCall, finish: Callable[[str, Layer], Layer]) -> Layer:
    deltas = [lora.layers.get(layer) for lora in loras]
    if len(present(deltas)[0].shape) == 1:
        return add_deltas(present(deltas))
    merged = call(deltas, layer=layer)
    if not isinstance(merged, LowRank | Dense):
        raise TypeError(f"layer {layer}: expected a LowRank or a Dense from the merger, found {type(merged).__name__}")
    return finish(layer, merged)
