"""lorarar.datasets.contact_sheets: where each image lands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lorarar.datasets.contact_sheets import contact_sheet, tile_images


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
