"""Images of unknown origin, decoded with care: what is no plain picture below its root is refused with a reason."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")  # MPO, what phones write, is a JPEG with more pictures behind it
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_BYTES = 64 << 20
MAX_PIXELS = 1 << 26
LONGEST_SIDE = 512  # pixels, of what a model is shown


class ImageError(ValueError):
    """An image or its path is refused; the message says why."""


def resolve(root: Path, relative: str) -> Path:
    """The real path of a file below a root, whatever links lead there.

    Raises:
        ImageError: no relative path with forward slashes, it or a link on it leaves the root, or it is no plain file.
    """
    if not relative or "\\" in relative or not relative.isprintable() or "://" in relative:
        raise ImageError(f"expected a relative path with forward slashes, found {relative!r}")
    parts = PurePosixPath(relative).parts
    if relative.startswith("/") or ".." in parts or ":" in parts[0]:
        raise ImageError(f"expected a path below the root, found {relative!r}")
    try:
        base, path = root.resolve(strict=True), (root / relative).resolve(strict=True)
        plain = stat.S_ISREG(path.stat().st_mode)
    except (OSError, RuntimeError) as error:
        raise ImageError(f"{relative} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not path.is_relative_to(base):
        raise ImageError(f"{relative} is a link that leaves the root: copy the file below the root")
    if not plain:
        raise ImageError(f"{relative} is no plain file")
    return path


def fingerprint(root: Path, relative: str) -> str:
    """SHA-256 of the file's bytes; "" for a path that is refused or a file that is too long: it is never read."""
    try:
        return hashlib.sha256(_read(resolve(root, relative))).hexdigest()
    except ImageError:
        return ""


def load_image(path: Path, *, root: Path | None = None, longest: int = LONGEST_SIDE) -> Image.Image:
    """An image as a model is shown it: upright, RGB, transparency on white, shrunk to `longest` pixels a side.

    Colour profiles are not applied. Of several frames in a phone's JPEG the first counts.

    Args:
        path: the file; relative to `root` where one is given.

    Raises:
        ImageError: the path leaves the root, or the file is no single PNG, JPEG or WebP picture within the limits.
    """
    return _shrink(_decode(_read(path if root is None else resolve(root, path.as_posix()))), longest)


def pixel_hash(image: Image.Image) -> str:
    """SHA-256 of an RGB image's size and pixels: the same for every file that shows the same."""
    return hashlib.sha256(f"{image.width}x{image.height}\n".encode() + image.tobytes()).hexdigest()


def load_planned(path: str, pixels: str) -> Image.Image:
    """An image as a model is shown it, held against the hash of the pixels that a question was planned with.

    Raises:
        ImageError: it is refused, or was changed since.
    """
    image = load_image(Path(path))
    if pixel_hash(image) != pixels:
        raise ImageError(f"{Path(path).name} was changed since the question was planned: plan anew")
    return image


def _read(path: Path) -> bytes:
    """All bytes of a plain file; a pipe or device that took its place is not waited for."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ImageError(f"{path.name} is no plain file")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"{path.name} cannot be opened: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise ImageError(f"expected at most {MAX_BYTES} bytes, {path.name} has more")
    return data


def _decode(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ImageError(f"expected at most {MAX_PIXELS} pixels, found {opened.width} x {opened.height}")
            if opened.format in ("PNG", "WEBP") and getattr(opened, "n_frames", 1) > 1:
                raise ImageError("expected one picture, found an animation: save one frame of it")
            return _on_white(ImageOps.exif_transpose(opened))
    except ImageError:
        raise
    except UnidentifiedImageError as error:  # its own message names an address in memory, another in each run
        raise ImageError("expected a PNG, JPEG or WebP image, found none of them: save it as one") from error
    except Exception as error:  # decoders raise anything on hostile files
        raise ImageError(f"expected a PNG, JPEG or WebP image: {type(error).__name__}: {error}"[:300]) from error


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a channel, which `convert` would clip
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(ground, rgba).convert("RGB")


def _shrink(image: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
