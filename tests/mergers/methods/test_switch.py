"""lorarar.mergers.methods.switch: who acts in which step."""

from __future__ import annotations

import pytest

from lorarar.lora.lora import LoRA
from lorarar.mergers.methods.switch import composite, switch
from tests.tiny import factors

A, B, C = (LoRA({"x": factors(3, 4, 1, seed=seed)}) for seed in range(3))


def test_switch_activates_each_lora_for_tau_steps() -> None:
    assert switch([A, B], 7, tau=2) == [(A,), (A,), (B,), (B,), (A,), (A,), (B,)]
    assert switch([A, B, C], 4, tau=1) == [(A,), (B,), (C,), (A,)]
    assert switch([A, B], 3) == [(A,)] * 3


def test_composite_has_all_in_every_step() -> None:
    assert composite([A, B, C], 2) == [(A, B, C), (A, B, C)]


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="tau of at least 1 step, found 0"):
        switch([A], 3, tau=0)
    for method in (switch, composite):
        with pytest.raises(ValueError, match="at least one LoRA"):
            method([], 3)
