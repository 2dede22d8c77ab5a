"""Predicted kinds: what a merge is told of inputs whose files do not state whether they are contents or styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lorarar.library import PredictedKind, kind_of
from lorarar.lora import LoRA, label
from lorarar.mergers import MergeRequest, accelerator, find_merger

_SURE = 0.9  # probability from which a prediction is used


def tell_kinds(loras: Sequence[LoRA], request: MergeRequest) -> tuple[list[LoRA], list[str], list[str]]:
    """Predict the kinds that files do not state, where the merger distinguishes contents from styles.

    Args:
        loras: The inputs, in order.
        request: How they are merged.

    Returns:
        The inputs, of which three or more state their predicted kinds; notes that say so; a warning where the first of
        two looks like a style and the second like a content.
    """
    given = list(loras)
    fast = [request.keep_accelerators and bool(accelerator(lora)) for lora in given]
    if any(fast):
        told, notes, warnings = tell_kinds(
            [lora for lora, is_fast in zip(given, fast, strict=True) if not is_fast], request
        )
        others = iter(told)
        return [lora if is_fast else next(others) for lora, is_fast in zip(given, fast, strict=True)], notes, warnings
    distinguishes = request.merger is None or find_merger(request.merger).pairs_only
    if not distinguishes or request.kinds or len(given) < 2 or all("kind" in lora.metadata for lora in given):
        return given, [], []
    kinds = [kind_of(lora) for lora in given]
    sure = [kind for kind in kinds if kind is not None and kind.probability >= _SURE]
    if len(sure) < len(given):
        return given, [], []
    words = ", ".join(_describe(lora, kind, i) for i, (lora, kind) in enumerate(zip(given, sure, strict=True)))
    if len(given) > 2:
        told = [
            replace(lora, metadata={**lora.metadata, "kind": kind.kind}) for lora, kind in zip(given, sure, strict=True)
        ]
        return told, [f"kinds: {words}"], []
    if [kind.kind for kind in sure] == ["style", "content"]:
        return given, [], [f"{words}: the content comes first, so swap the two if that is right"]
    return given, [], []


def _describe(lora: LoRA, kind: PredictedKind, index: int) -> str:
    """Return "cat.safetensors looks like a content (probability 0.98)"."""
    if kind.stated:
        return f"{label(lora, index)} is a {kind.kind}"
    return f"{label(lora, index)} looks like a {kind.kind} (probability {kind.probability:.2f})"
