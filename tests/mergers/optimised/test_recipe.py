"""lorarar.mergers.optimised.recipe: the learning rate of each step."""

from __future__ import annotations

import pytest

from lorarar.mergers.optimised.recipe import MergerRecipe


def test_the_rate_follows_the_schedule() -> None:
    assert [MergerRecipe(10, 0.5).rate(step) for step in (0, 10)] == [0.5, 0.5]
    falling = MergerRecipe(10, 0.5, schedule="cosine")
    assert [falling.rate(step) for step in (0, 5, 10)] == pytest.approx([0.5, 0.25, 0.0])
