"""Pixel statistics depend on colours alone."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import MapEncoder
from tests.evaluation.metrics.encoders.samples import noise


def test_pixels_see_colours_and_nothing_else() -> None:
    encoder = load_encoder("pixels")
    image = np.asarray(noise((32, 32), 0))
    mixed = np.random.default_rng(1).permutation(image.reshape(-1, 3)).reshape(image.shape)
    black, white = (Image.new("RGB", (32, 32), colour) for colour in ("black", "white"))
    rows = encoder.encode_images([Image.fromarray(image), Image.fromarray(mixed), black, white])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.allclose(rows[0], rows[1])
    assert rows[2] @ rows[3] == 0
    assert isinstance(encoder, MapEncoder)
    assert encoder.feature_maps([black, white])[0].shape == (2, 9, 32, 32)
