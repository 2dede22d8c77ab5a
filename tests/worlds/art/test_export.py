"""lorarar.worlds.art.export and data/art: the shipped concepts are those of the code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lorarar.datasets.concepts import load_concepts
from lorarar.datasets.splits import load_splits
from lorarar.storage import ART
from lorarar.worlds.art import export
from lorarar.worlds.art.catalogue import drawing_packages
from lorarar.worlds.art.world import content_images, style_images


def test_the_shipped_manifest_is_that_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "content_images", lambda *_: [])
    monkeypatch.setattr(export, "style_images", lambda *_: [])
    export.export_art(tmp_path)
    assert (tmp_path / "concepts.yaml").read_text() == (ART / "concepts.yaml").read_text()


@pytest.mark.parametrize("index", [0, 7, 15])
def test_the_shipped_images_are_those_of_the_code(index: int) -> None:
    """A last bit of a matrix product may differ between processors."""
    for kind, images in (("content", content_images("test", index)), ("style", style_images("test", index))):
        folder = ART / "images" / f"test_{kind}_{index:02d}"
        assert len(list(folder.iterdir())) == len(images)
        for i, image in enumerate(images):
            with Image.open(folder / f"{i}.webp") as shipped:
                assert np.abs(np.asarray(shipped).astype(int) - image).mean() < 0.2


def test_shipped_concepts_are_read() -> None:
    concepts = load_concepts([ART / "concepts.yaml"], ART / "images")
    for name in ("art", "art_one_image"):
        splits = load_splits(ART / "concepts.yaml", name)
        assert {split: len(members.pairs(concepts)) for split, members in splits.items()} == {
            "train": 1280,
            "validation": 256,
            "test": 256,
        }
        images = {len(concepts[style].images) for style in splits["test"].styles}
        assert images == {4 if name == "art" else 1}
    assert all(concept.description == "" for name, concept in concepts.items() if name.startswith("test"))
    assert concepts["train_content_01"].description == "a glossy lion"
    assert concepts["validation_style_00"].description == "red pencil style"


def test_every_artist_is_attributed() -> None:
    text = (ART / "ATTRIBUTION.md").read_text()
    for artist in drawing_packages():
        assert f"| {artist} |" in text
    assert text.count("CC BY 4.0") == 3
    assert "Copyright (c) Microsoft Corporation" in text
    truths = {entry["truth"].split()[0] for entry in yaml.safe_load((ART / "concepts.yaml").read_text())["concepts"]}
    assert set(drawing_packages()) <= truths
