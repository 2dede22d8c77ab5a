"""Likeness: lengths by their formula; embedded images of all sorts are known, photos and noise are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lorarar.datasets.images import list_images, load_image
from lorarar.evaluation.metrics.encoders.likeness import (
    TOWER_LIKENESS,
    load_likeness,
    measure_likeness,
    save_likeness,
)
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import SpecialisedEncoder
from lorarar.storage.locations import EMBEDDED
from lorarar.worlds.stages.classifier import disturb
from lorarar.worlds.stages.world import to_tensor


def test_the_length_follows_its_formula(tmp_path: Path) -> None:
    rows = (np.random.default_rng(0).normal(size=(500, 6)) * [1, 2, 3, 4, 5, 6] + 7).astype(np.float32)
    likeness = measure_likeness(rows, 3)
    variances, directions = np.linalg.eigh(np.cov(rows.T))
    projected = ((rows - rows.mean(0)) @ directions)[:, 3:] / variances[3:] ** 0.25
    expected = np.sqrt((projected**2).sum(1))
    assert np.allclose(likeness.lengths(rows), expected, rtol=1e-4)
    save_likeness(likeness, tmp_path / "likeness.safetensors")
    read = load_likeness(tmp_path / "likeness.safetensors")
    assert np.array_equal(read.lengths(rows), likeness.lengths(rows))
    assert not read.are_unlike(rows).any()  # the limit of a new one is 0


def test_the_tower_knows_embedded_images_disturbed_ones_too_and_nothing_else() -> None:
    tower = load_encoder("tower", device="cpu")
    assert isinstance(tower, SpecialisedEncoder)
    images = [
        load_image(path) for folder in sorted((EMBEDDED / "images").iterdir())[::3] for path in list_images(folder)
    ]
    pixels = to_tensor([np.asarray(image) for image in images])
    noisy = (disturb(pixels, torch.Generator().manual_seed(0)) + 1) * 127.5
    disturbed = [Image.fromarray(x.round().byte().permute(1, 2, 0).numpy()) for x in noisy]
    random = np.random.default_rng(0)
    pixelated = [Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(50)]
    clouds = [cloud(random) for _ in range(50)]
    shares = [tower.are_unlike(tower.encode_images(s)).mean() for s in (images, disturbed, pixelated, clouds)]
    assert max(shares[:2]) < 0.3
    assert min(shares[2:]) > 0.8


def cloud(random: np.random.Generator) -> Image.Image:
    """Return a large image of soft patches, as photos of textures are."""
    patches = Image.fromarray(random.integers(60, 200, (5, 5, 3), dtype=np.uint8))
    return patches.resize((300, 300), Image.Resampling.BICUBIC)


def test_the_shipped_numbers_are_those_of_the_experiment() -> None:
    likeness = load_likeness(TOWER_LIKENESS)
    assert likeness.directions.shape == (40, 96)
    assert 16.5 < likeness.limit < 17.5
