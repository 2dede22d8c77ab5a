"""lorarar.datasets.image_folder: a manifest of a folder of images, which the reader of manifests takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lorarar.datasets.concepts import load_concepts
from lorarar.datasets.image_folder import folder_concepts, write_folder_manifest
from lorarar.datasets.splits import load_splits
from lorarar.storage.atomic import FormatError


def write_images(folder: Path, names: tuple[str, ...] = ("0", "1"), colour: str = "red") -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", (4, 4), colour).save(folder / f"{name}.png")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("grey_dog_2", "10_xyz tabby cat", "mug"):
        write_images(tmp_path / "contents" / name)
    write_images(tmp_path / "styles" / "ink")
    (tmp_path / "styles" / "ink" / "0.txt").write_text(" a house\nin ink ")
    (tmp_path / "styles" / "ink" / "1.txt").write_text("a car in ink")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_the_manifest_is_read_as_it_was_meant(images: Path) -> None:
    path = write_folder_manifest(images, split="all", shares=(0.6, 0.4))
    concepts = load_concepts([path], images)
    assert {name: (c.kind, c.phrase, c.captions) for name, c in concepts.items()} == {
        "grey_dog_2": ("content", "a sks grey dog", ("a sks grey dog",) * 2),
        "xyz_tabby_cat": ("content", "a xyz tabby cat", ("a xyz tabby cat",) * 2),
        "mug": ("content", "a sks mug", ("a sks mug",) * 2),
        "ink": ("style", "szn style", ("a house in ink", "a car in ink")),
    }
    assert concepts["xyz_tabby_cat"].class_prompt == "a tabby cat"
    assert concepts["ink"].class_prompt == ""
    splits = load_splits(path, "all")
    assert [len(part.contents) for part in splits.values()] == [2, 1]
    assert sum(len(part.styles) for part in splits.values()) == 1
    with pytest.raises(FormatError, match="exists"):
        write_folder_manifest(images)


def test_folders_of_one_kind_need_no_parent(images: Path) -> None:
    found = folder_concepts(images / "styles", kind="style", token="abc")
    assert [(c["name"], c["kind"], c["folder"], c["phrase"]) for c in found["concepts"]] == [
        ("ink", "style", "ink", "abc style")
    ]


def test_what_cannot_become_a_manifest_is_named(images: Path, tmp_path: Path) -> None:
    (images / "styles" / "ink" / "1.txt").unlink()
    with pytest.raises(
        ValueError, match=r"caption beside every image of .*ink, found none for 1 of 2, first \['1.txt'\]"
    ):
        folder_concepts(images)
    write_images(images / "styles" / "mug")
    (images / "styles" / "ink" / "0.txt").unlink()
    with pytest.raises(ValueError, match=r"a name for each concept, found \['mug'\] more than once"):
        folder_concepts(images)
    with pytest.raises(FileNotFoundError, match="contents/NAME and styles/NAME or NAME alone, found none"):
        folder_concepts(images / "notes")
    with pytest.raises(ValueError, match=r"shares that add up to 1, found \[0.5, 0.2\]"):
        folder_concepts(images, shares=(0.5, 0.2))
