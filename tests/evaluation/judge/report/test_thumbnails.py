"""lorarar.evaluation.judge.report.thumbnails: figures within a budget, and contact sheets."""

from __future__ import annotations

from pathlib import Path

from lorarar.evaluation.judge.read.scores import score_images
from lorarar.evaluation.judge.report.thumbnails import Thumbnails, draw_contact_sheets
from tests.evaluation.judge.sample import save_noise
from tests.evaluation.judge.synthetic import make_items


def test_a_figure_has_an_image_or_a_reason(tmp_path: Path) -> None:
    save_noise(tmp_path / "x.png", 0)
    thumbnails = Thumbnails()
    shown = thumbnails.show(tmp_path, "x.png", "caption", verdict="right")
    assert shown.uri.startswith("data:image/webp;base64,")
    assert (shown.reason, shown.title, shown.verdict) == ("", "x.png", "right")
    refused = thumbnails.show(tmp_path, "../x.png", "caption", title="title")
    assert (refused.uri, refused.title) == ("", "title")
    assert refused.reason == "expected a path below the root, found '../x.png'"
    assert thumbnails.omitted == 0


def test_the_budget_counts_characters(tmp_path: Path) -> None:
    save_noise(tmp_path / "x.png", 0)
    cost = 3_000_000 - _left_after_one(tmp_path)
    thumbnails = Thumbnails(left=cost)
    assert thumbnails.show(tmp_path, "x.png", "").uri
    assert thumbnails.left == 0
    second = thumbnails.show(tmp_path, "x.png", "")
    assert (second.uri, second.reason) == ("", "not shown: the page would grow too large")
    assert thumbnails.omitted == 1


def _left_after_one(folder: Path) -> int:
    thumbnails = Thumbnails(left=3_000_000)
    thumbnails.show(folder, "x.png", "")
    return thumbnails.left


def test_a_short_budget_leaves_out_the_later_images_of_each_pair(tmp_path: Path) -> None:
    items = make_items(["a", "b"], 1, 2, 3)
    for number, item in enumerate(items):
        save_noise(tmp_path / item.path, number)
    images = score_images(items, [], {})
    whole = Thumbnails()
    sheets = draw_contact_sheets(images, tmp_path, whole)
    assert (sheets.shown, sheets.total) == (12, 12)
    assert [(name, [row.title for row in rows]) for name, rows in sheets.methods] == [
        ("a", ["c0 + s0", "c0 + s1"]), ("b", ["c0 + s0", "c0 + s1"]),
    ]  # fmt: skip
    half = draw_contact_sheets(images, tmp_path, Thumbnails(left=(Thumbnails().left - whole.left) // 2))
    assert 4 <= half.shown < 8
    counts = [sum(bool(figure.uri) for figure in row.figures) for _, rows in half.methods for row in rows]
    assert sum(counts) == half.shown
    assert max(counts) - min(counts) <= 1
