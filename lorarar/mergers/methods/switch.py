"""Switch and composite: LoRAs composed while sampling, in turn or all at once."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import LoRA, check_same_shapes


def switch(loras: Sequence[LoRA], steps: int, *, tau: int = 5) -> list[tuple[LoRA, ...]]:
    """Return one LoRA for each sampling step (LoRA switch): the next one every `tau` steps, then the first again.

    Args:
        loras: One or more LoRAs; the first is active first.
        steps: Number of sampling steps.
        tau: Number of steps that each LoRA is active.

    Raises:
        ValueError: There are no LoRAs, their shapes clash, or tau is less than 1.

    Reference:
        arXiv 2402.16843, equation 3.
    """
    _check(loras)
    if tau < 1:
        raise ValueError(f"expected tau of at least 1 step, found {tau}: choose a larger one")
    return [(loras[step // tau % len(loras)],) for step in range(steps)]


def composite(loras: Sequence[LoRA], steps: int) -> list[tuple[LoRA, ...]]:
    """Return all LoRAs for each sampling step (LoRA composite): their guided predictions are averaged.

    Args:
        loras: One or more LoRAs.
        steps: Number of sampling steps.

    Raises:
        ValueError: There are no LoRAs, or their shapes clash.

    Reference:
        arXiv 2402.16843, equation 5.
    """
    _check(loras)
    return [tuple(loras)] * steps


def _check(loras: Sequence[LoRA]) -> None:
    if not loras:
        raise ValueError("expected at least one LoRA, found none: give one")
    check_same_shapes(loras)
