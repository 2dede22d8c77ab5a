"""lorarar.datasets.contact_sheets: where each image lands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lorarar.datasets.contact_sheets import SheetCell, SheetPart, contact_sheet, labelled_sheet, tile_images


def test_a_sheet_is_filled_row_by_row() -> None:
    images = torch.rand(5, 3, 4, 6)
    grid = tile_images(images, columns=3)
    assert grid.shape == (3, 8, 18)
    assert torch.equal(grid[:, :4, 6:12], images[1])
    assert torch.equal(grid[:, 4:, :6], images[3])
    assert torch.equal(grid[:, 4:, 12:], torch.ones(3, 4, 6))


def test_a_contact_sheet_shows_every_cell(tmp_path: Path) -> None:
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    cells = [[colour.view(3, 1, 1).expand(3, 32, 32) for colour in colours[2 * r : 2 * r + 2]] for r in range(2)]
    path = tmp_path / "sheet.png"
    contact_sheet(cells, path, columns=["content", "style"], cell=64)
    picture = Image.open(path)
    font = 11  # pixels: the smallest that is used
    assert picture.size == (4 + 2 * (64 + 4), font + 10 + 2 * (64 + 4))
    for i, colour in enumerate(colours):
        centre = (4 + (i % 2) * 68 + 32, font + 10 + (i // 2) * 68 + 32)
        assert picture.getpixel(centre) == tuple(int(255 * c) for c in colour)
    contact_sheet(cells, path, columns=["content", "style"], rows=["one", "another"], cell=64)
    labelled = Image.open(path)
    assert labelled.width > picture.width
    assert (np.asarray(labelled)[:, : labelled.width - picture.width] < 128).any()  # the labels' ink


def test_a_long_label_stays_above_its_column(tmp_path: Path) -> None:
    white = torch.ones(3, 8, 8)
    contact_sheet([[white, white]], tmp_path / "x.png", columns=["test_content_00\ntest_style_00", ""], cell=64)
    ink = np.asarray(Image.open(tmp_path / "x.png"))[..., 0] < 128
    top = 2 * (11 + 4) + 6
    assert ink[:top, :68].any()
    assert not ink[:, 68:].any()


def test_a_labelled_sheet_shows_images_bars_and_the_frame(tmp_path: Path) -> None:
    red, blue = (torch.tensor(colour).view(3, 1, 1).expand(3, 8, 8) for colour in ([1.0, 0, 0], [0.0, 0, 1]))
    one = (SheetCell(red, "joint 0.50", (0.5, 1.0)), SheetCell(blue, "joint 1.00", (1.0, 1.0), framed=True))
    parts = [
        SheetPart("In", ("a",), (("", (SheetCell(blue),)),)),
        SheetPart("Out", ("1 : 1", "1 : 0.5"), (("ties", one),)),
    ]
    labelled_sheet(tmp_path / "x.png", "cat + ink", ["prompt: a cat"], parts, cell=64)
    pixels = np.asarray(Image.open(tmp_path / "x.png")).astype(int)

    def places(colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        return np.nonzero((abs(pixels - np.array(colour)) < 2).all(-1))

    assert len(places((255, 0, 0))[0]) == 64**2
    assert len(places((0, 0, 255))[0]) == 2 * 64**2
    rows, columns = places((255, 0, 0))
    teal, orange = places((0x00, 0x79, 0x6B)), places((0xE8, 0x74, 0x3B))
    below = (teal[0] > rows.max()) & (teal[1] <= columns.max())
    assert set(teal[1][below]) == set(range(columns.min(), columns.min() + 32))  # half of the width
    assert set(orange[1]) == set(range(columns.min(), columns.max() + 1)) | set(orange[1][orange[1] > columns.max()])
    assert (teal[1] > columns.max()).sum() > 3 * 4 * 64  # the frame of the second image


def test_a_labelled_sheet_is_as_wide_as_its_text(tmp_path: Path) -> None:
    part = SheetPart("In", ("a",), (("", (SheetCell(torch.ones(3, 8, 8)),)),))
    labelled_sheet(tmp_path / "a.png", "x", [], [part], cell=64)
    labelled_sheet(tmp_path / "b.png", "x", ["long " * 40], [part], cell=64)
    with Image.open(tmp_path / "a.png") as narrow, Image.open(tmp_path / "b.png") as wide:
        assert wide.width > narrow.width
