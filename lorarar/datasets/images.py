"""Images: one lister, one safe decoder and one writer. The decoder refuses a suspicious file and gives the reason."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lorarar.storage import FormatError, atomic_write

if TYPE_CHECKING:  # the judge decodes images without torch
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP")  # a phone's MPO file is a JPEG with further pictures behind it
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp")
_OTHER_SUFFIXES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jxl", ".tif", ".tiff")
MAX_BYTES = 64 << 20
MAX_PIXELS = 1 << 26
LONGEST_SIDE = 512  # pixels, of the images that a model receives


class ImageError(ValueError):
    """An image or its path is refused; the message gives the reason."""


def list_images(folder: Path, *, recursive: bool = False) -> list[Path]:
    """List the PNG, JPEG and WebP files of a folder, sorted by path; none where the folder does not exist.

    Files and folders whose names begin with a dot are left out: systems and notebooks put copies there.

    Args:
        recursive: Include the folders below it.

    Warns:
        UserWarning: Images of other formats are left out.
    """
    paths = sorted(folder.rglob("*") if recursive else folder.glob("*"))
    shown = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    images = [path for path in shown if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    others = [path.name for path in shown if path.suffix.lower() in _OTHER_SUFFIXES]
    if others:
        warnings.warn(
            f"{folder}: left out {len(others)} images that are not PNG, JPEG or WebP, first {others[0]}: convert them",
            stacklevel=2,
        )
    return images


def resolve_path(root: Path, relative: str) -> Path:
    """Return the real path of a file below a root, with all links followed.

    Raises:
        ImageError: The path is not relative with forward slashes, it or a link on it leaves the root, or it does not
            lead to a regular file.
    """
    if not relative or "\\" in relative or not relative.isprintable() or "://" in relative:
        raise ImageError(f"expected a relative path with forward slashes, found {relative!r}")
    parts = PurePosixPath(relative).parts
    if relative.startswith("/") or ".." in parts or ":" in parts[0]:
        raise ImageError(f"expected a path below the root, found {relative!r}")
    try:
        base, path = root.resolve(strict=True), (root / relative).resolve(strict=True)
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, RuntimeError) as error:
        raise ImageError(f"{relative} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not path.is_relative_to(base):
        raise ImageError(f"{relative} is a link that leaves the root: copy the file below the root")
    if not regular:
        raise ImageError(f"{relative} is not a regular file")
    return path


def fingerprint(root: Path, relative: str) -> str:
    """Return the SHA-256 of a file's bytes; "" where the path is refused or the file is larger than the limit."""
    try:
        return hashlib.sha256(_read_bytes(resolve_path(root, relative))).hexdigest()
    except ImageError:
        return ""


def load_image(path: Path, *, root: Path | None = None, longest: int | None = LONGEST_SIDE) -> Image.Image:
    """Decode an image: upright, RGB, transparency on white, shrunk where it is large.

    Colour profiles are not applied. Of the pictures in a phone's JPEG the first is used.

    Args:
        path: The file; relative to `root` where a root is given.
        longest: The longest side in pixels after shrinking; None keeps the size.

    Raises:
        ImageError: The path leaves the root, or the file is not a single PNG, JPEG or WebP picture within the limits.
    """
    image = _decode(_read_bytes(path if root is None else resolve_path(root, path.as_posix())))
    return image if longest is None else _shrink(image, longest)


def pixel_hash(image: Image.Image) -> str:
    """Return the SHA-256 of an RGB image's size and pixels: equal for all files with the same picture."""
    return hashlib.sha256(f"{image.width}x{image.height}\n".encode() + image.tobytes()).hexdigest()


def load_planned(path: str, pixels: str) -> Image.Image:
    """Decode an image and check that its pixels are those that a question was planned with.

    Args:
        pixels: The hash of the planned pixels, see `pixel_hash`.

    Raises:
        ImageError: The image is refused, or its pixels have changed.
    """
    image = load_image(Path(path))
    if pixel_hash(image) != pixels:
        raise ImageError(f"{Path(path).name} has changed since the question was planned: plan the run again")
    return image


def to_bytes(image: Tensor) -> NDArray[np.uint8]:
    """Convert an image (3, height, width), 0 to 1, into (height, width, 3), 0 to 255."""
    pixels: NDArray[np.uint8] = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels


def check_images(paths: Sequence[Path], force: bool) -> None:
    """Check that images can be written, before any is sampled.

    Args:
        paths: The images to write.
        force: Whether existing images may be replaced.

    Raises:
        FormatError: An image exists and force is False, or something that is no regular file is in its place.
    """
    there = [path for path in paths if os.path.lexists(path)]
    odd = [path for path in there if not stat.S_ISREG(os.lstat(path).st_mode)]
    if odd:
        raise FormatError(f"expected a regular file or none at {odd[0]}, found a link or device: give another folder")
    if there and not force:
        raise FormatError(
            f"{len(there)} of {len(paths)} images exist already, first {there[0]}: choose another folder, or allow "
            "overwriting with `force=True`"
        )


def save_image(image: Tensor | Image.Image, path: Path) -> None:
    """Write an image as a PNG in one step; a tensor is (3, height, width), 0 to 1."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(to_bytes(image))
    with atomic_write(path, force=True) as temporary:
        picture.save(temporary, format="PNG")


def _read_bytes(path: Path) -> bytes:
    """Read all bytes of a regular file, without waiting for a pipe or device that has replaced it."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ImageError(f"{path.name} is not a regular file")
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
    except UnidentifiedImageError as error:  # Pillow's message holds a memory address, which differs in each run
        raise ImageError("expected a PNG, JPEG or WebP image, found another format: convert it") from error
    except Exception as error:  # decoders raise exceptions of any type on hostile files
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
