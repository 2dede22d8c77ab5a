"""Views: all text of files is shown as text, and colours mean what the legend says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.formats.inspection import Report, inspect
from lorarar.storage import EMBEDDED
from lorarar.studio.actions import Overview, SizeRow
from lorarar.studio.blind import BlindPair, Tally
from lorarar.studio.choices import GOALS
from lorarar.studio.views import (
    blind_pair,
    blind_result,
    file_card,
    heat_tiles,
    message,
    method_text,
    overview,
    plain_words,
    progress_bar,
    size_table,
)
from lorarar.studio.work import State
from lorarar.workflows.recommendation import BlockCollision

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def report() -> Report:
    return inspect(EMBEDDED / "loras" / "test_style_03.safetensors")


def test_markup_in_a_file_is_shown_as_text(report: Report) -> None:
    hostile = replace(
        report, file=f"/x/{MARKUP}.safetensors", triggers=(MARKUP,), family_label=MARKUP, warnings=(MARKUP,)
    )
    pages = [file_card(0, hostile, None), overview(Overview((hostile,), problem=MARKUP)), message(MARKUP)]
    pages += [progress_bar(State(MARKUP)), blind_result([Tally(MARKUP, {"content": 0, "style": 0}, 1)], Path(MARKUP))]
    for page in pages:
        assert "&lt;script&gt;" in page
        assert "<script" not in page
        assert "<img" not in page


def test_a_card_says_what_the_file_is(report: Report) -> None:
    card = file_card(0, report, None)
    for text in ("test_style_03", "the embedded toy base", "szn style", "228 kB"):
        assert text in card


def test_tiles_are_in_natural_order_and_small_cosines_are_pale() -> None:
    names = ("transformer_blocks.10", "transformer_blocks.2", "single.1")
    pale = heat_tiles([BlockCollision(name, 0.01, 0.5, 0.1) for name in names])
    assert [tile.block for tile in pale] == ["single.1", "transformer_blocks.2", "transformer_blocks.10"]
    assert {(tile.strength, tile.side, tile.shared) for tile in pale} == {(0, "", "shared")}
    strong = heat_tiles([BlockCollision("a", 0.8, None, None), BlockCollision("b", -0.4, 0.1, 0.1)])
    assert [(tile.strength, tile.side, tile.shared) for tile in strong] == [(10, "add up", ""), (5, "oppose", "apart")]


def test_a_goal_and_a_method_are_described() -> None:
    assert all(method_text(goal, "") for goal in GOALS)
    assert "agree in sign" in method_text("fast", "ties")


def test_sizes_have_their_errors() -> None:
    table = size_table([SizeRow("full", 186_000_000, 0.0), SizeRow("rank 8", 1_500_000, 0.031)])
    assert "186 MB" in table
    assert "0.031" in table


def test_the_images_of_a_blind_test_have_no_names(tmp_path: Path) -> None:
    pair = BlindPair(tmp_path / "mine.png", tmp_path / "sum.png")
    for path in (pair.left, pair.right):
        path.write_bytes(b"pixels")
    page = blind_pair(pair, 2)
    assert page.count("data:image/png;base64,") == 2
    assert "mine" not in page
    assert "sum" not in page
    assert blind_pair(None, 0) == ""


def test_messages_lose_the_marks_of_python() -> None:
    assert plain_words("give `base`, or `force=True`") == "give base, or force"
