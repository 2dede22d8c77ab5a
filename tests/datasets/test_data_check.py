"""lorarar.datasets.data_check: every sort of fault is found in a data set with one of each."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from PIL import Image

from lorarar.datasets.concepts import Concept, load_concepts
from lorarar.datasets.data_check import check_data, check_readable


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Four concepts: a and b in train, c in validation, d in neither."""
    for number, name in enumerate("abcd"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (4, 4), (60 * number, 100 * i, 0)).save(tmp_path / "images" / name / f"{i}.png")
    entries = [{"name": name, "kind": "content", "prompt": f"a sks {name}"} for name in "abcd"]
    splits = {"mine": {"train": {"contents": ["a", "b"]}, "validation": {"contents": ["c"]}}}
    path = tmp_path / "concepts.yaml"
    path.write_text(yaml.safe_dump({"concepts": entries, "splits": splits}))
    return path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def faults(path: Path) -> list[tuple[str, str]]:
    return [(fault.sort, fault.text.replace(f"{path.parent}/", "")) for fault in check_data(path).faults]


def test_a_sound_data_set_has_no_faults(manifest: Path) -> None:
    report = check_data(manifest)
    assert report.text() == "4 concepts, 8 images: no faults"
    assert check_data(manifest, manifest.parent / "images") == report


def test_missing_and_unreadable_files_are_named(manifest: Path) -> None:
    images = manifest.parent / "images"
    (images / "a" / "0.png").write_text("no image")
    for path in (images / "d").iterdir():
        path.unlink()
    change(manifest, "prompt: a sks b", "captions: [one]")
    change(manifest, "prompt: a sks c", "token: sks")
    change(manifest, "      - c\n", "      - c\n      - x\n")
    assert faults(manifest) == [
        ("missing", "b has 1 captions for 2 images"),
        ("missing", "c has neither a prompt nor a caption for each image"),
        ("missing", "d has no images in images/d"),
        ("missing", "x of the splits mine is not in the list of concepts"),
        ("unreadable", "images/a/0.png: expected a PNG, JPEG or WebP image, found another format: convert it"),
    ]


def test_equal_pixels_are_duplicates_within_a_part_and_leaks_between_parts(manifest: Path) -> None:
    images = manifest.parent / "images"
    with Image.open(images / "a" / "0.png") as picture:
        picture.save(images / "b" / "copy.webp", lossless=True)
    with Image.open(images / "a" / "1.png") as picture:
        picture.save(images / "c" / "other.png", compress_level=0)
    assert faults(manifest) == [
        ("duplicated", "one image is there 2 times: images/a/0.png and images/b/copy.webp"),
        (
            "leaking",
            "one image is in train and in validation of the splits mine: images/a/1.png and images/c/other.png",
        ),
    ]


def test_a_concept_in_two_parts_is_a_leak(manifest: Path) -> None:
    change(manifest, "      - c\n", "      - c\n      - a\n")
    found = faults(manifest)
    assert found[0] == ("leaking", "a is in train and in validation of the splits mine")


def test_unreadable_images_are_refused_before_a_training(manifest: Path) -> None:
    concepts = list(load_concepts([manifest], manifest.parent / "images").values())
    check_readable(concepts)
    (manifest.parent / "images" / "b" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"found 1 that cannot: .*b/1.png .*: replace or remove them"):
        check_readable(concepts)
    with pytest.raises(ValueError, match="found 6 that cannot: .* and 1 more"):
        check_readable([Concept("x", "style", "x", tuple(Path(f"{i}.png") for i in range(6)), ("",) * 6)])
