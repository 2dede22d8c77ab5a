"""lorarar.analogies.application and files: the exported LoRA's images equal the router's; wrong inputs are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lorarar.analogies.application import check_triplet
from lorarar.analogies.files import load_basis, save_basis
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.settings import Sampling
from lorarar.formats import load, save
from lorarar.storage import FormatError
from tests.analogies.cases import random_analogies

SAMPLING = Sampling(steps=2, guidance=1.0)


def picture(path: Path, seed: int, size: tuple[int, int] = (32, 32)) -> Path:
    pixels = np.random.default_rng(seed).integers(256, size=(*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_an_exported_lora_gives_the_images_of_the_router(backbone: Backbone, tmp_path: Path) -> None:
    analogies, _ = random_analogies(backbone)
    triplets = [[Image.open(picture(tmp_path / f"{i}{j}.png", 10 * i + j)) for j in range(3)] for i in range(2)]
    pixels = analogies.pixels(triplets)
    assert pixels.shape == (2, 3, 3, 32, 32)
    assert pixels[1, 2].mean() == pytest.approx(np.asarray(triplets[1][2]).mean() / 127.5 - 1, abs=1e-4)
    mix = analogies.mix(pixels)
    routed = analogies.answer(pixels, mix, [0, 1], SAMPLING)
    save(analogies.lora(mix[1]), tmp_path / "mix.safetensors", dtype="fp32")
    exported = analogies.answer(pixels[1:], load(tmp_path / "mix.safetensors"), [1], SAMPLING)
    assert torch.allclose(exported[0], routed[1], atol=1e-4)
    assert not torch.allclose(analogies.answer(pixels[1:], None, [1], SAMPLING)[0], routed[1], atol=1e-2)


def test_a_basis_survives_its_file_and_knows_its_base(backbone: Backbone, tmp_path: Path) -> None:
    analogies, examples = random_analogies(backbone)
    path = tmp_path / "basis.safetensors"
    save_basis(analogies.trained, path, {"seed": "0"})
    read = load_basis(path)
    assert vars(read) | {"basis": None} == vars(analogies.trained) | {"basis": None}
    assert torch.equal(read.basis.mix(examples.features), analogies.trained.basis.mix(examples.features))
    read.check_base(backbone)
    with torch.no_grad():
        next(backbone.denoiser.parameters()).add_(1)
    with pytest.raises(ValueError, match="the base that the basis was trained on, some/base of digest"):
        read.check_base(backbone)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(FormatError, match="is not a basis of LoRAs: expected 'lorarar_analogies' in its header"):
        load_basis(tmp_path / "other.safetensors")
    save_file({"x": torch.zeros(1)}, path, metadata={"lorarar_analogies": "{}"})
    with pytest.raises(FormatError, match="cannot be read as a basis of LoRAs: 'config'"):
        load_basis(path)


def test_wrong_images_are_named(tmp_path: Path) -> None:
    one, other = picture(tmp_path / "one.png", 0), picture(tmp_path / "other.png", 1)
    assert [image.size for image in check_triplet(one, other, one)] == [(32, 32)] * 3
    with pytest.raises(ValueError, match="found one.png 32 x 32, other.png 32 x 32, wide.png 48 x 32: crop"):
        check_triplet(one, other, picture(tmp_path / "wide.png", 2, (32, 48)))
    picture(tmp_path / "same.png", 0)
    with pytest.raises(ValueError, match="found the same picture in .*one.png and .*same.png: give two that differ"):
        check_triplet(one, tmp_path / "same.png", other)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="text.png: expected an image .PNG, JPEG, WebP., could not read it"):
        check_triplet(one, tmp_path / "text.png", other)
    with pytest.raises(ValueError, match="none.png: expected an image .*No such file"):
        check_triplet(one, other, tmp_path / "none.png")
