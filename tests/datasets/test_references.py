"""lorarar.datasets.references: a user's own file and this project's concept files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lorarar.datasets.references import load_references
from tests import ROOT
from tests.evaluation.judge.sample import save_noise, write_references

EMBEDDED = ROOT / "data" / "embedded" / "concepts.yaml"


def written(folder: Path, *entries: object, **more: object) -> Path:
    path = folder / "references.yaml"
    path.write_text(yaml.safe_dump({"concepts": list(entries), **more}))
    return path


def test_folders_and_lists_of_images(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/0.PNG", "a/notes.txt", "b/x.jpg"):
        save_noise(tmp_path / "n.png", 0).rename((tmp_path / name).parent.mkdir(exist_ok=True) or tmp_path / name)
    result = load_references(
        written(
            tmp_path,
            {"name": "a", "kind": "content"},
            {"name": "a", "kind": "style", "images": ["b/x.jpg", "a/1.png"], "phrase": "oil painting style"},
        )
    )
    assert result.root == tmp_path
    assert result.concepts["content", "a"].images == ("a/0.PNG", "a/1.png")
    assert result.concepts["style", "a"].images == ("a/1.png", "b/x.jpg")
    assert result.names("style") == ["a"]


@pytest.mark.parametrize(
    ("entry", "phrase"),
    [
        ({"kind": "content", "prompt": "a sks cat"}, "cat"),
        ({"kind": "content", "class_word": "stuffed animal", "prompt": "a {token} {class_word}"}, "stuffed animal"),
        ({"kind": "content", "prompt": "a zwx dog", "token": "zwx"}, "dog"),
        ({"kind": "content", "question": "mug with a crack", "prompt": "a sks mug"}, "mug with a crack"),
        ({"kind": "content"}, "my cat"),
        ({"kind": "content", "prompt": "a sks"}, "my cat"),
        ({"kind": "style", "phrase": "oil painting style"}, "oil painting"),
        ({"kind": "style", "style_words": "3d rendering", "phrase": "3d rendering style"}, "3d rendering"),
        ({"kind": "style", "phrase": "style"}, "style"),
    ],
)
def test_what_a_question_calls_it(entry: dict[str, str], phrase: str, tmp_path: Path) -> None:
    result = load_references(written(tmp_path, {"name": "my_cat", **entry}))
    assert [concept.phrase for concept in result.concepts.values()] == [phrase]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "a", "kind": "both"}, "kind content or style, found 'both'"),
        ({"kind": "style"}, "concepts with a name"),
        ("a", "concepts with a name"),
        ({"name": "cat_1", "kind": "content"}, "found 'cat_1' again"),
    ],
)
def test_entries_that_are_refused(entry: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_references(written(tmp_path, {"name": "cat_1", "kind": "content"}, entry))


def test_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a concept file at"):
        load_references(tmp_path / "nowhere.yaml")
    (tmp_path / "x.yaml").write_text("- a\n")
    with pytest.raises(ValueError, match="expected a list `concepts`, found list"):
        load_references(tmp_path / "x.yaml")


def test_training_parts_of_splits(tmp_path: Path) -> None:
    splits = {"mine": {"train": {"contents": ["dog"], "styles": ["ink"]}, "test": {"contents": ["cat"], "styles": []}}}
    path = written(tmp_path, {"name": "dog", "kind": "content"}, splits=splits)
    assert load_references(path).training == frozenset()
    assert load_references(path, splits="mine").training == {"dog", "ink"}
    with pytest.raises(ValueError, match=r"expected splits 'yours' with a part train, found \['mine'\]"):
        load_references(path, splits="yours")


def test_the_embedded_concepts() -> None:
    result = load_references(EMBEDDED, splits="embedded")
    assert all(concept.images for concept in result.concepts.values())
    assert result.concepts["content", "test_content_00"].images[0] == "test_content_00/0.png"
    assert result.concepts["style", "test_style_00"].phrase == "szn"
    assert "train_content_00" in result.training
    assert not result.training & {"test_content_00", "test_style_00"}


def test_another_root(tmp_path: Path) -> None:
    path = write_references(tmp_path / "a")
    result = load_references(path, root=tmp_path / "b")
    assert not result.concepts["content", "dog"].images


def test_generated_images_beside_the_file_are_no_references(tmp_path: Path) -> None:
    save_noise(tmp_path / "images" / "direct" / "x.png", 0)
    save_noise(tmp_path / "dog" / "0.png", 0)
    path = written(tmp_path, {"name": "dog", "kind": "content"})
    assert load_references(path).root == tmp_path
    (tmp_path / "dog").rename(tmp_path / "images" / "dog")
    assert load_references(path).root == tmp_path / "images"
