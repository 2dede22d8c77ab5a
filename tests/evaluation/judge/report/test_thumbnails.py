"""lorarar.evaluation.judge.report.thumbnails: small images within a budget."""

from __future__ import annotations

from pathlib import Path

from lorarar.evaluation.judge.report.thumbnails import Thumbnails, fitting_side
from tests.evaluation.judge.sample import save_noise


def test_an_image_is_shown_or_there_is_a_reason(tmp_path: Path) -> None:
    save_noise(tmp_path / "x.png", 0)
    thumbnails = Thumbnails()
    shown = thumbnails.show(tmp_path, "x.png")
    assert shown.uri.startswith("data:image/webp;base64,")
    assert (shown.reason, thumbnails.largest) == ("", 12)
    refused = thumbnails.show(tmp_path, "../x.png")
    assert (refused.uri, refused.reason) == ("", "expected a path below the root, found '../x.png'")


def test_the_budget_counts_characters_of_each_file_once(tmp_path: Path) -> None:
    for number in range(2):
        save_noise(tmp_path / f"{number}.png", number)
    cost = len(Thumbnails().show(tmp_path, "0.png").uri)
    thumbnails = Thumbnails(left=cost)
    assert thumbnails.show(tmp_path, "0.png").uri == thumbnails.show(tmp_path, "0.png").uri != ""
    assert thumbnails.left == 0
    assert thumbnails.show(tmp_path, "1.png").reason == "not shown: the page would grow too large"


def test_few_images_are_shown_larger(tmp_path: Path) -> None:
    assert [fitting_side(count) for count in (10, 300, 1000, 100_000)] == [256, 192, 96, 72]
    save_noise(tmp_path / "x.png", 0, (600, 300))
    thumbnails = Thumbnails(side=96)
    assert thumbnails.show(tmp_path, "x.png").uri
    assert thumbnails.largest == 96
