"""Features of files: they are cached by content, and hostile files are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.features import ImageFile, gram_features, gram_vectors, image_features
from lorarar.evaluation.metrics.measures import gram
from tests.evaluation.judge.sample import save_noise


@dataclass
class Means:
    """An encoder by mean colour that counts its images."""

    name: str = "means"
    sha256: str = "0"
    resize: str = "stretch"
    counts: list[int] = field(default_factory=list)

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        self.counts.append(len(images))
        return np.stack([np.asarray(image, np.float32).mean((0, 1)) for image in images])


def image_files(folder: Path, count: int) -> list[ImageFile]:
    return [ImageFile(folder, save_noise(folder / f"{i}.png", i, (12, 8 + i % 2)).name) for i in range(count)]


def test_features_are_those_of_the_images_in_any_order(tmp_path: Path) -> None:
    files = image_files(tmp_path, 70)
    features = image_features(reversed(files), Means())
    expected = [np.asarray(Image.open(tmp_path / p.path), np.float32).mean((0, 1)) for p in files]
    assert np.allclose(features.of(files), expected)
    assert (features.computed, features.cached, features.refused) == (70, 0, {})
    assert features.of([]).shape == (0, 0)


def test_cached_features_are_not_encoded_again(tmp_path: Path) -> None:
    files, cache, encoder = image_files(tmp_path / "images", 5), tmp_path / "cache", Means()
    first = image_features(files, encoder, cache=cache)
    assert sum(encoder.counts) == 5
    (tmp_path / "images" / "copy.png").write_bytes((tmp_path / "images" / "3.png").read_bytes())
    copy = ImageFile(tmp_path / "images", "copy.png")
    again = image_features([*files, copy], encoder, cache=cache)
    assert sum(encoder.counts) == 5
    assert (again.computed, again.cached) == (0, 5)
    assert np.array_equal(again.of(files), first.of(files))
    assert np.array_equal(again.rows[copy], first.rows[files[3]])


def test_equal_files_are_encoded_once(tmp_path: Path) -> None:
    encoder = Means()
    files = [ImageFile(tmp_path, save_noise(tmp_path / f"{i}.png", 0).name) for i in range(3)]
    assert image_features(files, encoder).computed == sum(encoder.counts) == 1


@pytest.mark.parametrize("change", [{"sha256": "1"}, {"resize": "crop"}, {"name": "other"}])
def test_another_encoder_has_features_of_its_own(tmp_path: Path, change: dict[str, str]) -> None:
    files, cache, other = image_files(tmp_path / "images", 3), tmp_path / "cache", Means(**change)
    image_features(files, Means(), cache=cache)
    image_features(files, other, cache=cache)
    assert sum(other.counts) == 3


def test_changed_images_and_damaged_caches_are_encoded_again(tmp_path: Path) -> None:
    files, cache, encoder = image_files(tmp_path / "images", 3), tmp_path / "cache", Means()
    image_features(files, encoder, cache=cache)
    save_noise(tmp_path / "images" / "0.png", 99)
    damaged, *_ = sorted(cache.rglob("*.npy"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-4])
    features = image_features(files, encoder, cache=cache)
    assert features.computed in (1, 2)  # the damaged file may be the changed image's
    assert np.allclose(
        features.rows[files[0]], np.asarray(Image.open(tmp_path / "images/0.png"), np.float32).mean((0, 1))
    )
    np.save(damaged, np.full(3, np.nan, np.float32))
    assert np.isfinite(image_features(files, encoder, cache=cache).of(files)).all()


def test_hostile_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    root = tmp_path / "images"
    good = image_files(root, 2)
    (root / "text.png").write_text("no image")
    (root / "cut.png").write_bytes((root / "0.png").read_bytes()[:60])
    Image.new("1", (9000, 8000)).save(root / "bomb.png")  # 72 million pixels in a small file
    (root / "link.png").symlink_to("/etc/hostname")
    Image.new("RGB", (400, 4), "red").save(root / "strip.png")
    reasons = {
        "text.png": "expected a PNG, JPEG or WebP image",
        "cut.png": "expected a PNG, JPEG or WebP image",
        "bomb.png": "pixels",
        "link.png": "leaves the root",
        "strip.png": "sides of at most 1 to 4",
        "../outside.png": "below the root",
        "missing.png": "cannot be opened",
    }
    bad = [ImageFile(root, name) for name in reasons]
    features = image_features([*bad, *good], load_encoder("pixels"), cache=tmp_path / "cache")
    assert set(features.rows) == set(good)
    assert {file.path for file in features.refused} == set(reasons)
    for file, reason in features.refused.items():
        assert reasons[file.path] in reason, file.path
        assert " at 0x" not in reason  # equal inputs give equal files
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 2


def test_features_without_a_direction_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "black").save(tmp_path / "black.png")
    files = [*image_files(tmp_path, 1), ImageFile(tmp_path, "black.png")]
    assert image_features(files, Means()).refused == {files[1]: "its features are zero or not finite"}


def test_distances_of_gram_vectors_are_gram_losses(tmp_path: Path) -> None:
    tower = load_encoder("tower")
    images = [Image.open(save_noise(tmp_path / f"{i}.png", i, (32, 32))).convert("RGB") for i in range(2)]
    vectors = gram_vectors(tower, images).astype(float)  # type: ignore[arg-type]
    layers = [gram(maps) for maps in tower.feature_maps(images)]  # type: ignore[attr-defined]
    expected = sum(((layer[0] - layer[1]) ** 2).sum() for layer in layers)
    assert ((vectors[0] - vectors[1]) ** 2).sum() == pytest.approx(expected, rel=1e-5)
    files = [ImageFile(tmp_path, f"{i}.png") for i in range(2)]
    features = gram_features(files, tower, cache=tmp_path / "cache")  # type: ignore[arg-type]
    assert np.allclose(features.of(files), vectors)
    again = gram_features(files, tower, cache=tmp_path / "cache")  # type: ignore[arg-type]
    assert (again.cached, again.computed) == (2, 0)
