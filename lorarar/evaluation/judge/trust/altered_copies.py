"""Altered copies: a reference that is flipped, cropped or saved again still shows the same subject and style."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

_KEPT = 7 / 8  # of each side of a crop
_PLACES = {"centre": (0.5, 0.5), "top left": (0.0, 0.0), "bottom right": (1.0, 1.0)}  # of a crop, 0 to 1


def _flip(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _crop(image: Image.Image, place: str) -> Image.Image:
    """Cut a part out and enlarge it to the size of the whole."""
    left, top = (
        share * side * (1 - _KEPT) for share, side in zip(_PLACES[place], image.size, strict=True)
    )
    box = (left, top, left + image.width * _KEPT, top + image.height * _KEPT)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def _encode(image: Image.Image, quality: int) -> Image.Image:
    """Return the pixels that a JPEG keeps."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


# The kind of case and the change of the image, in the order in which cases are made.
ALTERATIONS: tuple[tuple[str, Callable[[Image.Image], Image.Image]], ...] = (
    ("flipped", _flip),
    ("cropped", lambda image: _crop(image, "centre")),
    ("reencoded", lambda image: _encode(image, 75)),
    ("cropped", lambda image: _crop(image, "top left")),
    ("cropped", lambda image: _crop(image, "bottom right")),
    ("reencoded", lambda image: _encode(image, 40)),
)
