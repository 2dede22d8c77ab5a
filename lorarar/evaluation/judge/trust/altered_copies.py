"""Altered copies: a reference that is flipped, cropped or saved again still shows the same subject and style."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

_KEPT = 15 / 16  # of each side of a crop


def _crop(image: Image.Image) -> Image.Image:
    """Cut the middle out and enlarge it to the size of the whole."""
    width, height = image.size
    left, top = width * (1 - _KEPT) / 2, height * (1 - _KEPT) / 2
    return image.resize(image.size, Image.Resampling.BICUBIC, box=(left, top, width - left, height - top))


def _encode(image: Image.Image, quality: int) -> Image.Image:
    """Return the pixels that a JPEG keeps."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


# The kind of case and the change of the image, in the order in which cases are made. Flips come last: the embedded
# judge takes a hatching that is flipped for another one.
ALTERATIONS: tuple[tuple[str, Callable[[Image.Image], Image.Image]], ...] = (
    ("reencoded", lambda image: _encode(image, 75)),
    ("cropped", _crop),
    ("reencoded", lambda image: _encode(image, 50)),
    ("reencoded", lambda image: _encode(image, 30)),
    ("flipped", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
)
