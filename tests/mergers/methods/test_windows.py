"""lorarar.mergers.methods.windows: which LoRAs act in which steps."""

from __future__ import annotations

import pytest
from torch.testing import assert_close

from lorarar.mergers.methods.windows import windows
from tests.mergers.methods.test_klora import CONTENT, STYLE


def test_content_acts_in_steps_1_to_35_of_50_and_style_in_15_to_50() -> None:
    schedule = windows([CONTENT, STYLE], 50)
    assert not any(step.unguided for step in schedule)
    for number, step in enumerate(schedule, 1):
        (lora,) = step.loras
        for layer, delta in lora.layers.items():
            content, style = CONTENT.layers[layer].delta(), STYLE.layers[layer].delta()
            assert_close(delta.delta(), content * (number <= 35) + style * (number >= 15), rtol=1e-5, atol=1e-5)


def test_a_gap_between_the_windows_is_the_base_alone() -> None:
    schedule = windows([CONTENT, STYLE], 10, content_end=0.2, style_start=0.8)
    assert [len(step.loras) for step in schedule] == [1, 1, 0, 0, 0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="content_end and style_start from 0 to 1, found 1.2 and 0.3"):
        windows([CONTENT, STYLE], 10, content_end=1.2)
