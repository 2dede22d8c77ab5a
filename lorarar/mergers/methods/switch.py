"""Multi-LoRA composition while sampling: in turn, or all at once."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import LoRA, check_same_shapes


def switch(loras: Sequence[LoRA], steps: int, *, tau: int = 5) -> list[tuple[LoRA, ...]]:
    """LoRA switch: one LoRA at a time, the next one every `tau` steps, round and round.

    Args:
        loras: One or more LoRAs, the first begins.
        steps: Sampling steps.
        tau: Steps before the next LoRA's turn.

    Raises:
        ValueError: There are no LoRAs, their shapes clash, or tau is less than 1.

    Reference:
        arXiv 2402.16843, equation 3.
    """
    _check(loras)
    if tau < 1:
        raise ValueError(f"expected a turn of tau >= 1 steps, found {tau}")
    return [(loras[step // tau % len(loras)],) for step in range(steps)]


def composite(loras: Sequence[LoRA], steps: int) -> list[tuple[LoRA, ...]]:
    """LoRA composite: in each step the guided predictions of all LoRAs are averaged.

    Args:
        loras: One or more LoRAs.
        steps: Sampling steps.

    Raises:
        ValueError: There are no LoRAs, or their shapes clash.

    Reference:
        arXiv 2402.16843, equation 5.
    """
    _check(loras)
    return [tuple(loras)] * steps


def _check(loras: Sequence[LoRA]) -> None:
    if not loras:
        raise ValueError("expected at least one LoRA, found none")
    check_same_shapes(loras)
