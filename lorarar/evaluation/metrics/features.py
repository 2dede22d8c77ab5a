"""Features of image files: each file is decoded with care, encoded once, and found again by its content's hash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm  # type: ignore[import-untyped]

from lorarar.datasets import LONGEST_SIDE, ImageError, fingerprint, load_image
from lorarar.evaluation.metrics.encoders.protocols import Encoder, MapEncoder
from lorarar.evaluation.metrics.measures import gram
from lorarar.storage import atomic_write, digest, write_json

Array = NDArray[np.float32]
Encode = Callable[[Sequence[Image.Image]], Array]
_VERSION = 1  # of what is computed here: a change makes older caches void
_CHUNK = 64  # images that are decoded at once


@dataclass(frozen=True)
class Picture:
    """An image file of unknown origin: a path relative to a root."""

    root: Path
    path: str


@dataclass
class Features:
    """What is known of some pictures.

    Attributes:
        rows: one vector (d,) for each picture that could be read.
        refused: why a picture could not be.
        computed: how many different files were encoded now; cached: how many were found in the cache.
    """

    rows: dict[Picture, Array] = field(default_factory=dict)
    refused: dict[Picture, str] = field(default_factory=dict)
    computed: int = 0
    cached: int = 0

    def of(self, pictures: Iterable[Picture]) -> Array:
        """The rows (n, d) of those pictures that have one; (0, 0) when none has."""
        found = [self.rows[picture] for picture in pictures if picture in self.rows]
        return np.stack(found) if found else np.zeros((0, 0), np.float32)


def image_features(
    pictures: Iterable[Picture], encoder: Encoder, *, cache: Path | None = None, progress: bool = False
) -> Features:
    """Features of pictures as an encoder sees them.

    Args:
        cache: folder of features by the SHA-256 of the file, for each encoder, its weights and its way of resizing.
        progress: show a bar, where there is a terminal.
    """
    return _collect(pictures, encoder, "image", encoder.encode_images, cache, progress)


def gram_features(
    pictures: Iterable[Picture], encoder: MapEncoder, *, cache: Path | None = None, progress: bool = False
) -> Features:
    """Gram matrices of pictures as vectors: the squared distance of two is the Gram loss, summed over layers.

    Args:
        cache, progress: as of `image_features`.
    """
    return _collect(pictures, encoder, "gram", lambda images: gram_vectors(encoder, images), cache, progress)


def gram_vectors(encoder: MapEncoder, images: Sequence[Image.Image]) -> Array:
    """For images of one size their layers' Gram matrices, upper halves in a row: (n, sum of c (c + 1) / 2).

    What is off the diagonal, and so stands for two entries, is scaled by the root of 2.
    """
    parts = []
    for maps in encoder.feature_maps(images):
        matrices = gram(maps)
        rows, columns = np.triu_indices(matrices.shape[1])
        parts.append(matrices[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0)))
    vectors: Array = np.concatenate(parts, axis=1).astype(np.float32)
    return vectors


def _collect(
    pictures: Iterable[Picture], encoder: Encoder, kind: str, encode: Encode, cache: Path | None, progress: bool
) -> Features:
    found, folder = Features(), None if cache is None else _folder(cache, encoder, kind)
    missing = []
    for file in _files(pictures):
        row = None if folder is None or not file.sha256 else _recall(folder / f"{file.sha256}.npy")
        if row is None:
            missing.append(file)
        else:
            found.cached += 1
            found.rows.update(dict.fromkeys(file.pictures, row))
    hidden = None if progress else True
    with tqdm(total=len(missing), disable=hidden, unit="image", desc=f"{encoder.name} {kind}") as bar:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            for file, new in zip(chunk, _encode_files([file.pictures[0] for file in chunk], encode), strict=True):
                _enter(found, file, new, folder)
            bar.update(len(chunk))
    return found


@dataclass(frozen=True)
class _File:
    """Pictures of one content; the hash is "" for a path that is refused."""

    sha256: str
    pictures: list[Picture]


def _files(pictures: Iterable[Picture]) -> list[_File]:
    files: dict[str | Picture, _File] = {}
    for picture in dict.fromkeys(pictures):
        sha256 = fingerprint(picture.root, picture.path)
        files.setdefault(sha256 or picture, _File(sha256, [])).pictures.append(picture)
    return list(files.values())


def _enter(found: Features, file: _File, new: Array | str, folder: Path | None) -> None:
    """Writes down a row, or why there is none."""
    if isinstance(new, str):
        found.refused.update(dict.fromkeys(file.pictures, new))
        return
    found.computed += 1
    found.rows.update(dict.fromkeys(file.pictures, new))
    if folder is not None:
        _keep(folder / f"{file.sha256}.npy", new)


def _encode_files(pictures: Sequence[Picture], encode: Encode) -> list[Array | str]:
    """For each picture its row, or why it has none."""
    found: list[Array | str] = [""] * len(pictures)
    by_size: dict[tuple[int, int], list[tuple[int, Image.Image]]] = defaultdict(list)
    for place, picture in enumerate(pictures):
        try:
            image = load_image(Path(picture.path), root=picture.root)
        except ImageError as error:
            found[place] = str(error)
        else:
            by_size[image.size].append((place, image))
    for images in by_size.values():
        try:
            rows: Sequence[Array | str] = list(encode([image for _, image in images]))
        except ImageError as error:  # the encoder refuses the shape, which is that of all of them
            rows = [str(error)] * len(images)
        for (place, _), row in zip(images, rows, strict=True):
            found[place] = row if isinstance(row, str) or _is_sound(row) else "its features are zero or not finite"
    return found


def _is_sound(row: Array) -> bool:
    return bool(np.isfinite(row).all() and row.any())


def _folder(cache: Path, encoder: Encoder, kind: str) -> Path:
    """The folder of one encoder's features, with what they are."""
    about = {"encoder": encoder.name, "sha256": encoder.sha256, "resize": encoder.resize, "features": kind}
    about |= {"longest_side": str(LONGEST_SIDE), "version": str(_VERSION)}
    key = digest(about)[:16]
    folder = cache / f"{encoder.name}_{kind}_{key}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "about.json", about)
    return folder


def _recall(path: Path) -> Array | None:
    """A kept row; None when there is none, or the file is damaged."""
    try:
        row: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return row if row.ndim == 1 and row.dtype == np.float32 and _is_sound(row) else None


def _keep(path: Path, row: Array) -> None:
    with atomic_write(path, force=True) as temporary, open(temporary, "wb") as file:
        np.save(file, row)
