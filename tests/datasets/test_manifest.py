"""lorarar.datasets.manifest: built from a folder, read, checked, locked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.datasets.manifest import build_items, check_items, list_changed, lock_items, read_manifest, write_manifest
from lorarar.datasets.records import Item
from lorarar.datasets.references import References, load_references
from tests.evaluation.judge.sample import LAYOUT, save_noise, write_images, write_references


@pytest.fixture
def references(tmp_path: Path) -> References:
    return load_references(write_references(tmp_path))


@pytest.fixture
def items(tmp_path: Path, references: References) -> list[Item]:
    return build_items(write_images(tmp_path), LAYOUT, references)


def test_items_of_a_folder(items: list[Item]) -> None:
    assert len(items) == 16
    assert items[0] == Item("direct/cat_1+ink/0", "direct/cat_1+ink/0.png", "direct", "cat_1", "ink", 0)
    assert len({item.id for item in items}) == 16


def test_a_layout_without_method_and_seed(tmp_path: Path, references: References) -> None:
    save_noise(tmp_path / "flat" / "trigger_dog_oil_2.png", 0)
    (item,) = build_items(tmp_path / "flat", "{prompt_type}_{content}_{style}.png", references)
    assert item == Item("images/dog+oil_2/0/trigger", "trigger_dog_oil_2.png", "images", "dog", "oil_2", 0,
                        prompt_type="trigger")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("direct/notes.txt", "notes.txt: does not match"),
        ("direct/cat_9+ink/0.png", "names a content or a style without references"),
        ("direct/cat_1+ink/0.jpg", "does not match"),
        ("direct/cat_1+ink/x.png", "does not match"),
    ],
)
def test_names_that_are_refused(name: str, message: str, tmp_path: Path, references: References) -> None:
    root = write_images(tmp_path)
    save_noise(tmp_path / "x.png", 0).rename(root / name) if (root / name).parent.is_dir() else save_noise(
        root / name, 0
    )
    with pytest.raises(ValueError, match=message) as caught:
        build_items(root, LAYOUT, references)
    assert "found 1 faults" in str(caught.value)
    assert len(build_items(root, LAYOUT, references, ignore=[name])) == 16


def test_ambiguous_names_are_refused(tmp_path: Path, references: References) -> None:
    ink, dog = references.concepts["style", "ink"], references.concepts["content", "dog"]
    more = {("content", "cat"): dog, ("style", "1_ink"): ink}
    save_noise(tmp_path / "flat" / "cat_1_ink.png", 0)
    (item,) = build_items(tmp_path / "flat", "{content}_{style}.png", references)
    assert (item.content, item.style) == ("cat_1", "ink")
    ids = replace(references, concepts={**references.concepts, **more})
    with pytest.raises(ValueError, match="ambiguous, it reads as content 'cat', style '1_ink' or content 'cat_1', sty"):
        build_items(tmp_path / "flat", "{content}_{style}.png", ids)


def test_links_to_folders_and_empty_folders_are_refused(tmp_path: Path, references: References) -> None:
    root = write_images(tmp_path)
    (root / "linked").symlink_to(tmp_path / "references")
    with pytest.raises(ValueError, match="linked: does not match"):
        build_items(root, LAYOUT, references)
    (tmp_path / "empty").mkdir()
    for missing, message in (("empty", "found none: check folder"), ("nowhere", "a folder of images .* found nothing")):
        with pytest.raises(ValueError, match=message):
            build_items(tmp_path / missing, LAYOUT, references)


def test_hidden_files_are_passed_over(tmp_path: Path, references: References) -> None:
    root = write_images(tmp_path)
    (root / ".DS_Store").touch()
    (root / ".cache").mkdir()
    (root / ".cache" / "x.png").touch()
    assert len(build_items(root, LAYOUT, references)) == 16


def test_a_manifest_comes_back_as_it_was(items: list[Item], tmp_path: Path) -> None:
    odd = replace(items[0], id='<b>"\u2028\n', prompt="a \U0001f431")
    write_manifest(tmp_path / "m.jsonl", [odd, *items[1:]])
    assert read_manifest(tmp_path / "m.jsonl") == [odd, *items[1:]]


GOOD = {"id": "a", "path": "a.png", "method": "m", "content": "dog", "style": "ink", "seed": 0}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{", "line 2"),
        ("[]", "expected an object, found list"),
        (json.dumps({**GOOD, "sead": 1}), "unknown field 'sead'"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "style"}), r"missing \['style'\]"),
        (json.dumps({**GOOD, "seed": "0"}), "expected seed to be a int, found '0'"),
        (json.dumps({**GOOD, "seed": True}), "expected seed to be a int"),
        (json.dumps({**GOOD, "content": ""}), "expected content to be a str, found ''"),
        ("", "line 2"),
    ],
)
def test_lines_that_are_refused(entry: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(f"{json.dumps(GOOD)}\n{entry}\n{json.dumps(GOOD)}\n")
    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path / "m.jsonl")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "direct/cat_1+ink/0"}, "the same id as direct/cat_1\\+ink/0"),
        ({"path": "direct/cat_1+ink/0.png"}, "the same path as"),
        ({"method": "direct", "content": "cat_1", "style": "ink", "seed": 0}, "the same image as"),
        ({"content": "horse"}, "content 'horse': no reference images"),
        ({"style": "dog"}, "style 'dog': no reference images"),
        ({"prompt_type": "combine"}, "unknown prompt type"),
    ],
)
def test_manifests_that_are_refused(
    change: dict[str, object], message: str, items: list[Item], references: References
) -> None:
    check_items(items, references)
    with pytest.raises(ValueError, match=message):
        check_items([*items[:-1], replace(items[-1], **change)], references)


def test_nothing_to_judge_is_refused(references: References) -> None:
    with pytest.raises(ValueError, match="found none"):
        check_items([], references)


def test_a_leak_from_training_is_refused(items: list[Item], references: References) -> None:
    check_items(items, replace(references, training=frozenset({"horse"})))
    with pytest.raises(ValueError, match="style 'ink': it is in the training part"):
        check_items(items, replace(references, training=frozenset({"ink"})))


def test_a_lock_notices_changes(items: list[Item], tmp_path: Path) -> None:
    root = tmp_path / "images"
    (root / items[2].path).unlink()
    (root / items[2].path).symlink_to("/etc/hostname")
    locked = lock_items(items, root)
    assert locked[2].sha256 == ""
    assert list_changed(locked, root) == []
    save_noise(root / items[0].path, 99)
    (root / items[1].path).unlink()
    (root / items[2].path).unlink()
    save_noise(root / items[2].path, 98)
    assert list_changed(locked, root) == [item.path for item in items[:3]]
