"""Thumbnails: small images of LoRAs, from a preview beside the file or drawn by a base."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from lorarar.datasets import ImageError, load_image

THUMBNAIL = 96  # pixels
_PREVIEWS = (".preview.png", ".png", ".jpg", ".jpeg", ".webp")  # what managers of files put beside a LoRA


def preview_of(path: Path) -> bytes | None:
    """Return the thumbnail of an image beside a LoRA file that has its name, as WebP; None without a readable one."""
    for suffix in _PREVIEWS:
        image = path.with_suffix(suffix)
        if image.is_file():
            try:
                return encode_thumbnail(load_image(image, longest=THUMBNAIL))
            except ImageError:
                continue
    return None


def encode_thumbnail(image: Image.Image) -> bytes:
    """Return an image as WebP of at most 96 pixels a side."""
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    data = io.BytesIO()
    image.save(data, format="WEBP", quality=80, method=4)
    return data.getvalue()
