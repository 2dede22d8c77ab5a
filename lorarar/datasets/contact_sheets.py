"""Contact sheets: images in a grid, with labels above the columns and beside the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lorarar.datasets.images import save_image, to_bytes

_SMALLEST_FONT = 7  # pixels, still legible
_GAP = 4  # pixels between cells


def tile_images(images: Tensor, columns: int) -> Tensor:
    """Arrange images (n, 3, h, w) row by row in a grid (3, height, width); empty cells are white."""
    rows = -(-len(images) // columns)
    blank = torch.ones(rows * columns - len(images), *images.shape[1:])
    cells = torch.cat([images, blank]).unflatten(0, (rows, columns))
    grid: Tensor = cells.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    return grid


def contact_sheet(
    cells: Sequence[Sequence[Tensor]],
    path: Path,
    *,
    columns: Sequence[str],
    rows: Sequence[str] = (),
    cell: int = 96,
) -> None:
    """Draw rows of images with labels into a PNG.

    Args:
        cells: For each row its images (3, h, w), 0 to 1.
        columns: A label for each column, of one or more lines. A label wider than its column gets a smaller font.
        rows: A label for each row, or none.
        cell: The side of a drawn image in pixels. Small images are enlarged without smoothing.
    """
    size = max(11, cell // 8)
    font = cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size))  # a size selects the scalable font
    left = max((int(font.getlength(row)) for row in rows), default=0) + (12 if rows else 4)
    lines = max((label.count("\n") + 1 for label in columns), default=1)
    top = lines * (size + 4) + 6
    canvas = Image.new("RGB", (left + len(columns) * (cell + _GAP), top + len(cells) * (cell + _GAP)), "white")
    pen = ImageDraw.Draw(canvas)
    for c, label in enumerate(columns):
        x = left + c * (cell + _GAP) + cell / 2
        fitted = _fit_font(label, font, cell)
        pen.multiline_text((x, 4), label, fill="black", font=fitted, anchor="ma", align="center")
    for r, row in enumerate(cells):
        y = top + r * (cell + _GAP)
        if rows:
            pen.text((4, y + (cell - size) / 2), rows[r], fill="black", font=font)
        for c, image in enumerate(row):
            canvas.paste(_draw_cell(image, cell), (left + c * (cell + _GAP), y))
    save_image(canvas, path)


def _fit_font(label: str, font: ImageFont.FreeTypeFont, width: int) -> ImageFont.FreeTypeFont:
    """Return the font, reduced until the longest line fits the width or the smallest size is reached."""
    longest = max(font.getlength(line) for line in label.split("\n"))
    if longest <= width:
        return font
    return font.font_variant(size=max(_SMALLEST_FONT, int(font.size * width / longest)))


def _draw_cell(image: Tensor, cell: int) -> Image.Image:
    picture = Image.fromarray(to_bytes(image))
    smooth = max(picture.size) > cell
    return picture.resize((cell, cell), Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)
