"""lorarar.datasets.concepts: entries of concept files, captions, images, seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lorarar.datasets.concepts import Concept, load_concepts, load_images, seed_of


def write(folder: Path, *entries: dict[str, object]) -> Path:
    path = folder / "concepts.yaml"
    path.write_text(yaml.safe_dump({"concepts": list(entries), "splits": {}}))
    return path


def test_concepts_of_a_manifest(concepts: dict[str, Concept], folder: Path) -> None:
    assert len(concepts) == 6
    content, style = concepts["train_content_01"], concepts["validation_style_00"]
    assert (content.kind, content.phrase, content.captions) == ("content", "a sks cat", ("a sks cat",) * 3)
    assert [p.relative_to(folder).as_posix() for p in content.images] == [
        f"images/train_content_01/{i}.png" for i in range(3)
    ]
    assert (style.kind, style.phrase) == ("style", "szn style")
    assert style.captions[1] == "a red fish with white dots in szn style"


def test_prompts_are_filled_from_the_entry(folder: Path, tmp_path: Path) -> None:
    entry = {
        "name": "dog6",
        "folder": "train_content_00",
        "kind": "content",
        "token": "sks",
        "class": "dog",
        "prompt": "a {token} {class}",
    }
    concept = load_concepts([write(tmp_path, entry)], folder / "images")["dog6"]
    assert concept.phrase == "a sks dog"
    assert concept.captions == ("a sks dog",) * 3


def test_manifest_errors(folder: Path, tmp_path: Path) -> None:
    images, good = folder / "images", {"name": "train_content_00", "kind": "content", "prompt": "a sks cat"}
    with pytest.raises(FileNotFoundError, match=r"concept file at .*nowhere.yaml, found nothing there"):
        load_concepts([tmp_path / "nowhere.yaml"], images)
    with pytest.raises(FileNotFoundError, match="images of 'ghost' in .*ghost, found none"):
        load_concepts([write(tmp_path, good | {"name": "ghost"})], images)
    with pytest.raises(ValueError, match="found 'train_content_00' again"):
        load_concepts([write(tmp_path, good, good)], images)
    for wrong in ({"captions": ["a", "b"]}, {"prompt": ""}):
        with pytest.raises(ValueError, match="one caption for each image, 'train_content_00' has 3 images .* captions"):
            load_concepts([write(tmp_path, good | wrong)], images)


def test_images_are_upright_cropped_and_scaled(tmp_path: Path) -> None:
    picture = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 8, 0).repeat(8, 1))  # (8, 16), black | white
    picture.save(tmp_path / "plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    picture.convert("RGB").save(tmp_path / "turned.jpg", exif=exif, quality=100)
    plain, rotated = load_images([tmp_path / "plain.png", tmp_path / "turned.jpg"], 8)
    assert plain.shape == (3, 8, 8)
    assert (plain[:, :, 0].max(), plain[:, :, -1].min()) == (-1, 1)
    assert rotated[:, 0].max() < -0.9  # black above white
    assert rotated[:, -1].min() > 0.9


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"x.png: expected an image \(PNG, JPEG, WebP\)"):
        load_images([tmp_path / "x.png"], 8)


def test_a_seed_is_a_function_of_text_alone() -> None:
    assert seed_of("zoo", 3) == seed_of("zoo", "3") == 0xA68670C9
    assert len({seed_of("a", i) for i in range(1000)}) == 1000
    assert torch.Generator().manual_seed(seed_of("x")).initial_seed() == seed_of("x")
