"""Features of image files: each file is decoded safely and encoded once, and its features are cached by its hash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lorarar.datasets import LONGEST_SIDE, ImageError, fingerprint, load_image
from lorarar.evaluation.metrics.encoders.loading import ENCODERS
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray, MapEncoder, VisionEncoder
from lorarar.evaluation.metrics.measures import gram
from lorarar.storage import atomic_write, digest, progress, write_json

_Encode = Callable[[Sequence[Image.Image]], FeatureArray]
_VERSION = 1  # of the computation in this file; a new number makes older caches invalid
_CHUNK = 64  # images that are decoded at once


@dataclass(frozen=True)
class ImageFile:
    """An image file that is not trusted: a path relative to a root."""

    root: Path
    path: str


@dataclass
class Features:
    """Features of some image files.

    Attributes:
        rows: One vector (d,) for each file that could be read.
        refused: The reason for each file that could not be read.
        computed: Number of different files that were encoded.
        cached: Number of different files whose features came from the cache.
    """

    rows: dict[ImageFile, FeatureArray] = field(default_factory=dict)
    refused: dict[ImageFile, str] = field(default_factory=dict)
    computed: int = 0
    cached: int = 0

    def of(self, files: Iterable[ImageFile]) -> FeatureArray:
        """Return the rows (n, d) of the files that have one; (0, 0) when none has."""
        rows = [self.rows[file] for file in files if file in self.rows]
        return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def image_features(files: Iterable[ImageFile], encoder: VisionEncoder, *, cache: Path | None = None) -> Features:
    """Encode image files.

    Args:
        files: The image files.
        encoder: The encoder.
        cache: Folder of features. A row is found by the SHA-256 of its file, the encoder, the encoder's weights and
            the way of resizing; None caches nothing.
    """
    return _collect(files, encoder, "image", encoder.encode_images, cache)


def gram_features(files: Iterable[ImageFile], encoder: MapEncoder, *, cache: Path | None = None) -> Features:
    """Encode image files as Gram matrices, see `gram_vectors`.

    Args:
        files: The image files.
        encoder: An encoder with feature maps.
        cache: As for `image_features`.
    """
    return _collect(files, encoder, "gram", lambda images: gram_vectors(encoder, images), cache)


def missing_features(
    files: Iterable[ImageFile], encoder: VisionEncoder, *, cache: Path, gram: bool = False
) -> list[ImageFile]:
    """Return the files that `image_features`, or with `gram` `gram_features`, would encode; of copies, one."""
    folder = _cache_folder(cache, encoder, "gram" if gram else "image")
    contents = [content for content in _contents(files) if content.sha256]
    return [content.files[0] for content in contents if _read_row(folder / f"{content.sha256}.npy") is None]


def gram_vectors(encoder: MapEncoder, images: Sequence[Image.Image]) -> FeatureArray:
    """Return the Gram matrices of images as vectors whose squared distance is the Gram loss.

    The Gram loss of two images is sum_l ||G_l - H_l||_F^2 over layers l. Each matrix is symmetric, so a vector holds
    its upper half. An entry off the diagonal stands for two entries and is multiplied by the square root of 2.

    Args:
        encoder: An encoder with feature maps of c_l channels in layer l.
        images: Images of one size.

    Returns:
        Vectors (n, sum over layers of c_l (c_l + 1) / 2).

    Reference: Gatys et al., "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016; see
    `lorarar.evaluation.metrics.measures.gram`.
    """
    parts = []
    for maps in encoder.feature_maps(images):
        matrices = gram(maps)
        rows, columns = np.triu_indices(matrices.shape[1])
        parts.append(matrices[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0)))
    vectors: FeatureArray = np.concatenate(parts, axis=1).astype(np.float32)
    return vectors


@dataclass(frozen=True)
class _Content:
    """Files with the same bytes; the hash is "" for a path that is refused."""

    sha256: str
    files: list[ImageFile]


def _collect(
    files: Iterable[ImageFile],
    encoder: VisionEncoder,
    kind: str,
    encode: _Encode,
    cache: Path | None,
) -> Features:
    features, folder = Features(), None if cache is None else _cache_folder(cache, encoder, kind)
    missing = []
    for content in _contents(files):
        row = None if folder is None or not content.sha256 else _read_row(folder / f"{content.sha256}.npy")
        if row is None:
            missing.append(content)
        else:
            features.cached += 1
            features.rows.update(dict.fromkeys(content.files, row))
    with progress(
        f"encode by {encoder.name}" + (" (Gram)" if kind == "gram" else ""), len(missing), "images"
    ) as advance:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            results = _encode_files([content.files[0] for content in chunk], encode)
            for content, result in zip(chunk, results, strict=True):
                _add(features, content, result, folder)
            advance(len(chunk))
    return features


def _contents(files: Iterable[ImageFile]) -> Iterator[_Content]:
    """Group files by their bytes, so that copies are encoded once."""
    contents: dict[str | ImageFile, _Content] = {}
    for file in dict.fromkeys(files):
        sha256 = fingerprint(file.root, file.path)
        contents.setdefault(sha256 or file, _Content(sha256, [])).files.append(file)
    yield from contents.values()


def _add(features: Features, content: _Content, result: FeatureArray | str, folder: Path | None) -> None:
    """Add a row, or the reason why there is none."""
    if isinstance(result, str):
        features.refused.update(dict.fromkeys(content.files, result))
        return
    features.computed += 1
    features.rows.update(dict.fromkeys(content.files, result))
    if folder is not None:
        _write_row(folder / f"{content.sha256}.npy", result)


def _encode_files(files: Sequence[ImageFile], encode: _Encode) -> list[FeatureArray | str]:
    """Return, for each file, its row or the reason why it has none."""
    results: list[FeatureArray | str] = [""] * len(files)
    by_size: dict[tuple[int, int], list[tuple[int, Image.Image]]] = defaultdict(list)
    for index, file in enumerate(files):
        try:
            image = load_image(Path(file.path), root=file.root)
        except ImageError as error:
            results[index] = str(error)
        else:
            by_size[image.size].append((index, image))
    for images in by_size.values():
        try:
            rows: Sequence[FeatureArray | str] = list(encode([image for _, image in images]))
        except ImageError as error:  # the encoder refuses the shape, which all of these images have
            rows = [str(error)] * len(images)
        for (index, _), row in zip(images, rows, strict=True):
            is_valid = isinstance(row, str) or _is_sound(row)
            results[index] = row if is_valid else "its features are zero or not finite"
    return results


def _is_sound(row: FeatureArray) -> bool:
    return bool(np.isfinite(row).all() and row.any())


def _cache_folder(cache: Path, encoder: VisionEncoder, kind: str) -> Path:
    """Return the folder of the features of one encoder; about.json there describes them."""
    about = {"encoder": encoder.name, "sha256": encoder.sha256, "resize": encoder.resize, "features": kind}
    about |= {"longest_side": str(LONGEST_SIDE), "version": str(_VERSION)}
    about |= {f"plugin {name}": sha256 for name, sha256 in ENCODERS.plugins([encoder.name]).items()}
    folder = cache / f"{encoder.name}_{kind}_{digest(about)[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "about.json", about)
    return folder


def _read_row(path: Path) -> FeatureArray | None:
    """Read a row from the cache; None when there is none or the file is damaged."""
    try:
        row: FeatureArray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return row if row.ndim == 1 and row.dtype == np.float32 and _is_sound(row) else None


def _write_row(path: Path, row: FeatureArray) -> None:
    with atomic_write(path, force=True) as temporary, open(temporary, "wb") as file:
        np.save(file, row)
