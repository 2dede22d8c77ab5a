"""Contact sheets: images in a grid, with labels above the columns and beside the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lorarar.storage import atomic_write


def sheet(images: Tensor, columns: int) -> Tensor:
    """A grid (3, height, width) of images (n, 3, h, w), row by row; missing cells are white."""
    rows = -(-len(images) // columns)
    blank = torch.ones(rows * columns - len(images), *images.shape[1:])
    cells = torch.cat([images, blank]).unflatten(0, (rows, columns))
    return cells.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


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
        cells: for each row its images (3, h, w), 0 to 1.
        columns: a label for each column, of one or more lines, smaller where it is wider than the column; rows: a label
            for each row, or none.
        cell: size of a drawn image in pixels. Small images grow without smoothing.
    """
    font = ImageFont.load_default(size=max(11, cell // 8))
    left = max((int(font.getlength(row)) for row in rows), default=0) + (12 if rows else 4)
    lines = max((label.count("\n") + 1 for label in columns), default=1)
    top, gap = lines * (font.size + 4) + 6, 4
    canvas = Image.new("RGB", (left + len(columns) * (cell + gap), top + len(cells) * (cell + gap)), "white")
    pen = ImageDraw.Draw(canvas)
    for c, label in enumerate(columns):
        x = left + c * (cell + gap) + cell / 2
        pen.multiline_text((x, 4), label, fill="black", font=_fitting(label, font, cell), anchor="ma", align="center")
    for r, row in enumerate(cells):
        y = top + r * (cell + gap)
        if rows:
            pen.text((4, y + (cell - font.size) / 2), rows[r], fill="black", font=font)
        for c, image in enumerate(row):
            canvas.paste(_picture(image, cell), (left + c * (cell + gap), y))
    with atomic_write(path, force=True) as temporary:
        canvas.save(temporary, format="PNG")


def _fitting(label: str, font: ImageFont.FreeTypeFont, width: int) -> ImageFont.FreeTypeFont:
    """The font, or as much less of it as the longest line needs; 7 pixels are still read."""
    longest = max(font.getlength(line) for line in label.split("\n"))
    return font if longest <= width else font.font_variant(size=max(7, int(font.size * width / longest)))


def save_image(image: Tensor, path: Path) -> None:
    """One image (3, h, w), 0 to 1, as a PNG."""
    with atomic_write(path, force=True) as temporary:
        Image.fromarray(to_bytes(image)).save(temporary, format="PNG")


def to_bytes(image: Tensor) -> np.ndarray:
    """An image (3, h, w), 0 to 1, as (h, w, 3), 0 to 255."""
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _picture(image: Tensor, cell: int) -> Image.Image:
    picture = Image.fromarray(to_bytes(image))
    smooth = max(picture.size) > cell
    return picture.resize((cell, cell), Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)
