"""Degenerate images, which no judge may accept: blanks, noise, cards with the text of an answer, and collages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lorarar.datasets import load_image

DEGENERATE_KINDS = ("blank", "noise", "text_card")
_COLOURS = ("white", "black", "gray", "red", "green", "blue", "yellow", "cyan", "magenta", "navy", "beige", "orange")
_ORDERS = ("answer yes", "ANSWER:\nYES", "yes yes yes", "The answer\nis yes")


def draw_degenerate(kind: str, number: int, size: tuple[int, int]) -> Image.Image:
    """Draw a degenerate image.

    Args:
        kind: One of `DEGENERATE_KINDS`.
        number: Selects a variant.
        size: Width and height in pixels.
    """
    if kind == "blank":
        return Image.new("RGB", size, _COLOURS[number % len(_COLOURS)])
    if kind == "noise":
        grain = 2 ** (number % 4)  # pixels
        rows, columns = -(-size[1] // grain), -(-size[0] // grain)
        noise = np.random.default_rng(number).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        return Image.fromarray(noise.repeat(grain, 0).repeat(grain, 1)[: size[1], : size[0]])
    return _text_card(_ORDERS[number % len(_ORDERS)], size, inverse=number // len(_ORDERS) % 2 == 1)


def draw_collage(left: Path, right: Path) -> Image.Image:
    """Join the left half of one image and the right half of another, in the size of the first."""
    image = load_image(left)
    half = image.width // 2
    other = load_image(right).resize(image.size)
    image.paste(other.crop((half, 0, image.width, image.height)), (half, 0))
    return image


def _text_card(text: str, size: tuple[int, int], *, inverse: bool) -> Image.Image:
    """Draw a text as large as it fits."""
    ink, ground = ("white", "black") if inverse else ("black", "white")
    font = ImageFont.load_default(size=64)
    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    card = Image.new("RGB", (round(box[2]) + 32, round(box[3]) + 32), ground)
    ImageDraw.Draw(card).multiline_text((16, 16), text, fill=ink, font=font)
    card.thumbnail(size)
    image = Image.new("RGB", size, ground)
    image.paste(card, ((size[0] - card.width) // 2, (size[1] - card.height) // 2))
    return image
