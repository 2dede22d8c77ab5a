"""How images are brought to a network's size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lorarar.datasets.images import ImageError
from lorarar.evaluation.metrics.encoders.choice import RESIZES, Resize
from lorarar.evaluation.metrics.encoders.resizing import MAX_ASPECT, Canvas


def halves(width: int, height: int) -> Image.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("resize", RESIZES)
def test_a_square_of_the_right_size_stays_as_it_is(resize: Resize) -> None:
    image = halves(16, 16)
    assert np.array_equal(np.asarray(Canvas(16, 8, resize).fit(image)), np.asarray(image))


def test_sizes() -> None:
    image = halves(80, 40)
    assert Canvas(16, 1, "scale").fit(image).size == (32, 16)
    assert Canvas(16, 8, "scale").fit(halves(45, 40)).size == (16, 16)  # 18 is no multiple of 8
    assert Canvas(16, 8, "scale").fit(halves(40, 80)).size == (16, 32)
    for resize in ("letterbox", "crop", "stretch"):
        assert Canvas(16, 8, resize).fit(image).size == (16, 16)


def test_what_is_kept() -> None:
    image = Image.fromarray(np.full((40, 80, 3), 255, np.uint8))
    boxed = np.asarray(Canvas(16, 1, "letterbox").fit(image))
    assert boxed[:4].max() == boxed[12:].max() == 0  # bars above and below
    assert boxed[4:12].min() == 255
    for resize in ("scale", "crop", "stretch"):
        assert np.asarray(Canvas(16, 1, resize).fit(image)).min() == 255
    wide = Image.fromarray(np.hstack([np.full((40, 20, 3), v, np.uint8) for v in (0, 255, 255, 0)]))
    assert np.asarray(Canvas(40, 1, "crop").fit(wide)).min() == 255  # the middle alone
    assert np.asarray(Canvas(40, 1, "stretch").fit(wide)).min() == 0


def test_a_strip_is_refused_by_scaling_alone() -> None:
    strip = Image.new("RGB", (5000, 2), "red")
    with pytest.raises(ImageError, match="letterbox, crop or stretch"):
        Canvas(224, 14, "scale").fit(strip)
    Canvas(32, 1, "scale").fit(Image.new("RGB", (MAX_ASPECT * 5, 5)))
    for resize in ("letterbox", "crop", "stretch"):
        assert Canvas(32, 1, resize).fit(strip).size == (32, 32)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="scale.*stretch"):
        Canvas(32, 1, "zoom")  # type: ignore[arg-type]


def test_inputs_are_normalised_and_in_the_images_order() -> None:
    canvas = Canvas(4, 1, "scale", (0.5, 0.25, 0.0), (0.5, 0.25, 2.0))
    images = [Image.new("RGB", size, (value, 0, 255)) for value, size in ((0, (4, 4)), (51, (8, 4)), (255, (4, 4)))]
    shapes = [(places, tuple(inputs.shape)) for places, inputs in canvas.batches(images)]
    assert shapes == [([0, 2], (2, 3, 4, 4)), ([1], (1, 3, 4, 8))]
    rows = canvas.run(images, lambda inputs: inputs.mean((2, 3)))
    assert np.allclose(rows, [[-1, -1, 0.5], [-0.6, -1, 0.5], [1, -1, 0.5]], atol=1e-6)
    with pytest.raises(ValueError, match="expected images"):
        canvas.run([], torch.Tensor.mean)


def test_many_images_are_taken_in_batches() -> None:
    images = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in range(150)]
    sizes = []

    def apply(inputs: torch.Tensor) -> torch.Tensor:
        sizes.append(len(inputs))
        return inputs.mean((2, 3))

    rows = Canvas(4, mean=(0,) * 3, std=(1,) * 3).run(images, apply)
    assert sum(sizes) == 150
    assert max(sizes) <= 64
    assert np.allclose(rows[:, 0] * 255, range(150), atol=1e-4)


def test_maps_of_several_shapes_are_refused() -> None:
    canvas = Canvas(4)
    images = [Image.new("RGB", (4, 4)), Image.new("RGB", (8, 4))]
    assert canvas.run_maps(images[:1], lambda inputs: [inputs, inputs[:, :1]])[1].shape == (1, 1, 4, 4)
    with pytest.raises(ValueError, match="one shape"):
        canvas.run_maps(images, lambda inputs: [inputs])
    with pytest.raises(ValueError, match="one shape"):
        canvas.run_maps([], lambda inputs: [inputs])
