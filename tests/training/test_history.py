"""History of a training: times in words, and a curve without values that are not finite."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PIL import Image

from lorarar.training.history import History, describe_seconds


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (120, "2 min"), (5400, "90 min"), (12600, "3.5 h")])
def test_times_have_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


def test_a_history_goes_on_from_a_checkpoint_and_is_drawn(tmp_path: Path) -> None:
    first, second = History("validation/loss"), History("validation/loss")
    first.losses, first.values = [(10, 0.5), (20, 0.25)], [(20, math.nan)]
    second.load_state_dict(first.state_dict() | {"seconds": 100.0})
    assert (second.losses, len(second.values)) == (first.losses, 1)
    assert 100 <= second.seconds < 110
    second.draw(tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as curve:
        assert curve.format == "PNG"
