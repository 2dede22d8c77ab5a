"""lorarar.library.drawing and thumbnails: previews beside files, images by the embedded base, search by images."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lorarar import load
from lorarar.diffusion import Sampling, load_backbone
from lorarar.library import Library, draw_entries, library_page, measure_behaviour, search_images
from lorarar.library.thumbnails import encode_thumbnail, preview_of
from lorarar.storage import EMBEDDED
from tests.library.test_fingerprints import regauged
from tests.library.test_index import write


def test_a_preview_beside_the_file_is_its_thumbnail(tmp_path: Path) -> None:
    path = write(tmp_path / "loras" / "cat.safetensors", 0)
    assert preview_of(path) is None
    path.with_suffix(".png").write_bytes(b"no image")
    assert preview_of(path) is None
    Image.new("RGB", (400, 200), "red").save(path.with_suffix(".jpg"))
    Image.new("RGB", (40, 80), "blue").save(path.with_suffix(".preview.png"))
    small = Image.open(io.BytesIO(preview_of(path) or b""))
    assert (small.format, small.size) == ("WEBP", (40, 80))
    assert max(Image.open(io.BytesIO(encode_thumbnail(Image.new("RGB", (400, 200))))).size) == 96
    with Library(tmp_path / "index.sqlite") as library:
        library.add([tmp_path / "loras"])
        assert library_page(library).count("data:image/webp;base64,") == 1


def test_behaviour_is_free_of_the_factorisation_and_of_the_batch() -> None:
    backbone = load_backbone(EMBEDDED / "base", device="cpu")
    loras = [load(EMBEDDED / "loras" / f"test_style_0{i}.safetensors").to(dtype=torch.float32) for i in range(2)]
    same = replace(loras[0], layers={p: regauged(f) for p, f in loras[0].layers.items()})  # type: ignore[arg-type]
    vectors = measure_behaviour(backbone, [*loras, same], ["szn style"] * 3)
    assert vectors.shape == (3, 4 * 16 * 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 2, rtol=1e-5)  # four scenes of length 1
    np.testing.assert_allclose(vectors[2], vectors[0], atol=2e-3)
    np.testing.assert_allclose(measure_behaviour(backbone, loras[1:], ["szn style"])[0], vectors[1], atol=1e-4)
    assert vectors[0] @ vectors[1] < 3.7 < vectors[0] @ vectors[2]


@pytest.mark.slow
def test_styles_are_found_by_images(tmp_path: Path) -> None:
    names = ["test_style_00", "test_style_01", "test_style_02", "test_style_03"]
    with Library(tmp_path / "index.sqlite") as library:
        library.add([EMBEDDED / "loras" / f"{name}.safetensors" for name in names])
        sampling = Sampling(steps=8, guidance=2.5)
        prompt = "a house in szn style"
        assert draw_entries(library, EMBEDDED / "base", prompt=prompt, sampling=sampling, device="cpu") == 4
        assert draw_entries(library, EMBEDDED / "base", device="cpu") == 0  # they are drawn
        for name in names:
            hits = search_images(library, [EMBEDDED / "images" / name], EMBEDDED / "base", count=2, device="cpu")
            assert hits[0].entry.name == name
            assert hits[0].similarity > hits[1].similarity
        assert library_page(library, by="look").count("data:image/webp;base64,") == 4
        assert np.isfinite(library.all_vectors("look")[1]).all()
        assert len(library.neighbours(names[0], by="behaviour")) == 3
        with pytest.raises(FileNotFoundError, match="expected images in .*, found none: give other folders"):
            search_images(library, [tmp_path], EMBEDDED / "base")
