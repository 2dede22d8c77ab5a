"""lorarar.evaluation.judge.ask.backends.encoding: the pixels that were planned, made once."""

from __future__ import annotations

import base64
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorarar.datasets.images import ImageError, load_image, pixel_hash
from lorarar.evaluation.judge.ask.backends import encoding
from lorarar.evaluation.judge.ask.backends.encoding import ImageEncoder
from tests.evaluation.judge.sample import save_noise


def planned(path: Path) -> tuple[str, str]:
    return str(path), pixel_hash(load_image(path))


def test_the_pixels_come_back(tmp_path: Path) -> None:
    path = save_noise(tmp_path / "x.png", 0)
    head, _, data = ImageEncoder().encode(*planned(path)).partition(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(Image.open(io.BytesIO(base64.b64decode(data))), Image.open(path))


def test_many_threads_encode_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, encoded = planned(save_noise(tmp_path / "x.png", 0)), []
    real = encoding.data_uri

    def slow(image: Image.Image) -> str:
        encoded.append(image)
        time.sleep(0.05)
        return real(image)

    monkeypatch.setattr(encoding, "data_uri", slow)
    encoder = ImageEncoder()
    with ThreadPoolExecutor(8) as pool:
        uris = list(pool.map(lambda _: encoder.encode(*shown), range(8)))
    assert len(encoded) == 1
    assert len(set(uris)) == 1


def test_only_the_last_images_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_CACHE_SIZE", 2)
    shown = [planned(save_noise(tmp_path / f"{i}.png", i)) for i in range(3)]
    encoder = ImageEncoder()
    for one in (*shown[:2], shown[0], shown[2]):  # 1 is the oldest when 2 comes
        encoder.encode(*one)
    for path, _ in shown:
        Path(path).unlink()
    encoder.encode(*shown[0])
    encoder.encode(*shown[2])
    with pytest.raises(ImageError, match="cannot be opened"):
        encoder.encode(*shown[1])


def test_a_refusal_is_not_kept(tmp_path: Path) -> None:
    shown = planned(save_noise(tmp_path / "x.png", 0))
    save_noise(tmp_path / "x.png", 1)
    encoder = ImageEncoder()
    with pytest.raises(ImageError, match="changed since"):
        encoder.encode(*shown)
    save_noise(tmp_path / "x.png", 0)
    assert encoder.encode(*shown).startswith("data:")
