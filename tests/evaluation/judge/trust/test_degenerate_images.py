"""lorarar.evaluation.judge.trust.degenerate_images: sizes, variants and halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorarar.evaluation.judge.trust.degenerate_images import DEGENERATE_KINDS, draw_collage, draw_degenerate


@pytest.mark.parametrize("kind", DEGENERATE_KINDS)
def test_degenerate_images_have_the_size_and_vary_with_the_number(kind: str) -> None:
    images = [draw_degenerate(kind, number, (40, 30)) for number in (0, 1)]
    assert [image.size for image in images] == [(40, 30), (40, 30)]
    assert images[0].tobytes() == draw_degenerate(kind, 0, (40, 30)).tobytes()
    assert images[0].tobytes() != images[1].tobytes()


def test_a_blank_has_one_colour_and_a_text_card_has_ink() -> None:
    assert len(draw_degenerate("blank", 3, (8, 8)).getcolors() or ()) == 1
    card = np.asarray(draw_degenerate("text_card", 0, (64, 64)))
    assert (card < 128).any()
    assert (card > 128).mean() > 0.5


def test_a_collage_joins_two_halves(tmp_path: Path) -> None:
    Image.new("RGB", (8, 4), "red").save(tmp_path / "left.png")
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "right.png")
    collage = draw_collage(tmp_path / "left.png", tmp_path / "right.png")
    assert collage.size == (8, 4)
    assert [collage.getpixel((x, 2)) for x in (0, 3, 4, 7)] == [(255, 0, 0)] * 2 + [(0, 0, 255)] * 2
