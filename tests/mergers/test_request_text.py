"""lorarar.mergers.request_text: blocks and settings as people type them."""

from __future__ import annotations

import pytest

from lorarar.mergers.request_text import parse_blocks, parse_numbers, parse_options


def test_texts_become_values() -> None:
    assert parse_blocks("up_blocks.1=0.8; mid_block = 1,0.5\n") == {"up_blocks.1": [0.8], "mid_block": [1.0, 0.5]}
    found = parse_options("density=0.3, seed=1")
    assert found == {"density": 0.3, "seed": 1}
    assert [type(value) for value in found.values()] == [float, int]  # a seed is no fraction
    assert parse_numbers("-1, 2e-1", "numbers") == [-1, 0.2]


@pytest.mark.parametrize("text", ["density", "density=1,2", "density=x"])
def test_settings_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected (a setting and its|the) number"):
        parse_options(text)
