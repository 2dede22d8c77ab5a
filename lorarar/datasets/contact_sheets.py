"""Contact sheets: images in a grid, with labels above the columns and beside the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lorarar.datasets.images import save_image, to_bytes

_SMALLEST_FONT = 7  # pixels, still legible
_GAP = 4  # pixels between cells
_PAPER, _INK, _GREY, _LINE = "#fbfaf7", "#24292f", "#7a7f87", "#dcdad3"
_BAR_COLOURS = ("#00796b", "#e8743b")
_MARGIN, _SPACE = 28, 16  # pixels around a sheet, and between its cells


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
    font = _font(size)
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


class SheetCell(NamedTuple):
    """Image of a labelled sheet.

    Attributes:
        image: Image (3, h, w), 0 to 1.
        text: Line below it.
        bars: Shares, 0 to 1, drawn as bars below it in teal and orange.
        framed: Whether a frame stands out.
    """

    image: Tensor
    text: str = ""
    bars: tuple[float, ...] = ()
    framed: bool = False


class SheetPart(NamedTuple):
    """Grid of a labelled sheet.

    Attributes:
        title: Heading.
        columns: A label for each column.
        rows: A label and the cells of each row.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[SheetCell, ...]], ...]


def labelled_sheet(
    path: Path, title: str, lines: Sequence[str], parts: Sequence[SheetPart], *, cell: int = 144
) -> None:
    """Draw grids of images below each other, with a title and lines of text, into a PNG.

    Args:
        path: The file.
        title: Title.
        lines: Lines below the title.
        parts: The grids, which share the width of their first column of labels.
        cell: The side of a drawn image in pixels. Small images are enlarged without smoothing.
    """
    text, small = _font(15), _font(12)
    left = _MARGIN + max(int(text.getlength(label)) for part in parts for label, _ in part.rows) + _SPACE
    step, below = cell + _SPACE, 42
    width = left + max(len(part.columns) for part in parts) * step - _SPACE + _MARGIN
    width = max([width, *(int(small.getlength(line)) + 2 * _MARGIN for line in lines)])
    top = _MARGIN + 40 + 19 * len(lines)
    height = top + sum(66 + len(part.rows) * (cell + below) for part in parts) + _MARGIN // 2
    canvas = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((_MARGIN, _MARGIN), title, fill=_INK, font=_font(26))
    for index, line in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + 40 + 19 * index), line, fill=_GREY, font=small)
    y = top
    for part in parts:
        pen.line((_MARGIN, y + 12, width - _MARGIN, y + 12), fill=_LINE)
        pen.text((_MARGIN, y + 22), part.title, fill=_INK, font=_font(17))
        for c, label in enumerate(part.columns):
            centre = (left + c * step + cell / 2, y + 48)
            pen.text(centre, label, fill=_GREY, font=_fit_font(label, small, step), anchor="ma")
        y += 66
        for label, cells in part.rows:
            pen.text((left - _SPACE, y + cell / 2), label, fill=_INK, font=text, anchor="rm")
            for c, entry in enumerate(cells):
                _draw_entry(canvas, pen, entry, (left + c * step, y), cell)
            y += cell + below
    save_image(canvas, path)


def _draw_entry(
    canvas: Image.Image, pen: ImageDraw.ImageDraw, entry: SheetCell, at: tuple[int, int], cell: int
) -> None:
    """Draw an image with its frame, its bars and its line of text."""
    x, y = at
    canvas.paste(_draw_cell(entry.image, cell), at)
    frame = (x - 3, y - 3, x + cell + 2, y + cell + 2) if entry.framed else (x - 1, y - 1, x + cell, y + cell)
    pen.rectangle(frame, outline=_BAR_COLOURS[0] if entry.framed else _LINE, width=3 if entry.framed else 1)
    for index, share in enumerate(entry.bars):
        bar = y + cell + 6 + 5 * index
        pen.rectangle((x, bar, x + cell - 1, bar + 2), fill=_LINE)
        pen.rectangle((x, bar, x + max(0, round(share * cell) - 1), bar + 2), fill=_BAR_COLOURS[index])
    line = (x + cell / 2, y + cell + 6 + 5 * len(entry.bars))
    pen.text(
        line, entry.text, fill=_INK if entry.framed else _GREY, font=_fit_font(entry.text, _font(12), cell), anchor="ma"
    )


def _font(size: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size))  # a size selects the scalable font


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
