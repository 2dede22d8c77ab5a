"""Loading of encoders by name: wrong choices are refused, and every encoder keeps the protocol."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import VisionEncoder
from tests.evaluation.metrics.encoders.samples import noise


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        (
            "dino",
            None,
            "expected an encoder among tower, pixels, dinov2, clip, vgg19, found 'dino': did you mean 'dinov2'?",
        ),
        ("clip", None, "openai/clip"),
        ("dinov2", None, "facebook/dinov2"),
        ("vgg19", None, "torchvision"),
        ("pixels", "x", "no path for pixels"),
    ],
)
def test_a_wrong_choice_is_named(name: str, path: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load_encoder(name, path=path)


def test_all_are_encoders(clip: Path) -> None:
    for encoder in (load_encoder("pixels", resize="crop"), load_encoder("clip", path=clip, resize="crop")):
        assert isinstance(encoder, VisionEncoder)
        assert encoder.resize == "crop"


@pytest.mark.parametrize("name", ["tower", "dinov2", "clip", "pixels"])
def test_oblong_images_are_encoded_whole_and_in_order(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name) if name in ("dinov2", "clip") else None
    encoder = load_encoder(name, path=path)
    images = [noise(size, 3) for size in ((32, 32), (64, 32), (32, 32))] + [noise((64, 32), 4)]
    together = encoder.encode_images(images)
    assert np.allclose(together, np.concatenate([encoder.encode_images([image]) for image in images]), atol=1e-5)
    cropped = load_encoder(name, path=path, resize="crop")
    assert np.allclose(together[0], cropped.encode_images(images[:1])[0], atol=1e-5)
    assert not np.allclose(together[1], cropped.encode_images(images[1:2])[0], atol=1e-2)


@pytest.mark.parametrize("name", ["tower", "dinov2", "clip"])
def test_a_missing_model_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a file, a folder or a hub id at .*none"):
        load_encoder(name, path=tmp_path / "none")
