"""lorarar.worlds.toy.world and .export: who is where, and that nothing leaks between the sets."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lorarar.datasets.concepts import load_concepts
from lorarar.datasets.splits import load_splits
from lorarar.worlds.toy import world as module
from lorarar.worlds.toy.attributes import CATEGORIES, PATTERNS, Style, Subject, all_styles, all_subjects, neutral_looks
from lorarar.worlds.toy.export import export_concepts
from lorarar.worlds.toy.world import (
    SPLITS,
    check_disjoint_sets,
    content_images,
    style_images,
    style_of,
    style_subjects,
    subject_of,
    toy_world,
)
from tests import ROOT

SIZES = {"train": 40, "validation": 8, "test": 8}


@pytest.mark.parametrize("kind", ["subjects", "styles"])
def test_sets_are_disjoint_and_of_their_sizes(kind: str) -> None:
    sets = getattr(toy_world(), kind)
    everything = all_subjects() if kind == "subjects" else sorted(set(all_styles()) - set(neutral_looks()))
    assert SIZES == SPLITS
    assert {name: len(members) for name, members in sets.items()} == SIZES | {"base": len(everything) - 56}
    members = [member for split in sets.values() for member in split]
    assert len(set(members)) == len(members)
    assert sorted(members) == sorted(everything)


def test_no_neutral_look_is_a_style_to_learn() -> None:
    neutral = {style for style in all_styles() if (style.pattern, style.outline, style.shading) == (0, 0, 0)}
    assert set(neutral_looks()) == neutral
    assert len(neutral) == 12
    assert not neutral & {style for members in toy_world().styles.values() for style in members}


def test_every_category_and_pattern_is_tested() -> None:
    assert {subject.category for subject in toy_world().subjects["test"]} == set(range(len(CATEGORIES)))
    assert {style.pattern for style in toy_world().styles["test"]} == set(range(len(PATTERNS)))


def test_the_world_never_changes() -> None:
    known = toy_world()
    members = repr((known.subjects["test"], known.styles["test"], known.subjects["train"]))
    assert hashlib.sha256(members.encode()).hexdigest().startswith("d3d354b6d4d71d7e")


def test_an_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected disjoint sets, found Subject\(.*in 'train' and in 'test'"):
        check_disjoint_sets({"train": (Subject(0, 0, 0, 0),), "test": (Subject(0, 0, 0, 0),)})
    with pytest.raises(ValueError, match="expected disjoint sets"):
        check_disjoint_sets({"train": (Style(1, 0, 0, 0), Style(1, 0, 0, 0))})


@pytest.mark.parametrize("split", SIZES)
def test_reference_images_show_only_what_they_may(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[tuple[Subject, Style]] = []
    monkeypatch.setattr(module, "render", lambda subject, style, seed: rendered.append((subject, style)))
    for index in range(SIZES[split]):
        rendered.clear()
        content_images(split, index)
        subjects, looks = zip(*rendered, strict=True)
        assert set(subjects) == {toy_world().subjects[split][index]}
        assert len(set(looks)) == len(looks) == 4 + index % 2  # different grounds, so that the ground is not learnt
        assert set(looks) <= set(neutral_looks())
        rendered.clear()
        style_images(split, index)
        subjects, styles = zip(*rendered, strict=True)
        assert set(styles) == {toy_world().styles[split][index]}
        assert list(subjects) == style_subjects(split, index)
        assert len(set(subjects)) == len(subjects) == 1
        assert set(subjects) <= set(toy_world().subjects["base"])


def test_exported_concepts_are_those_of_the_world(tmp_path: Path) -> None:
    export_concepts(tmp_path)
    concepts = load_concepts([tmp_path / "concepts.yaml"], tmp_path / "images")
    splits = load_splits(tmp_path / "concepts.yaml", "embedded")
    assert {name: (len(s.contents), len(s.styles)) for name, s in splits.items()} == {
        n: (k, k) for n, k in SIZES.items()
    }
    pairs = splits["test"].pairs(concepts)
    assert len(pairs) == 64
    trained = {
        (subject_of(c), style_of(s)) for c, s in zip(splits["train"].contents, splits["train"].styles, strict=True)
    }
    for pair in pairs:
        assert subject_of(pair.content.name) not in {subject for subject, _ in trained}
        assert style_of(pair.style.name) not in {style for _, style in trained}
        category = CATEGORIES[subject_of(pair.content.name).category]
        assert pair.prompt == f"a sks {category} in szn style"
    for concept in concepts.values():
        assert len(concept.images) == len(concept.captions)
        assert len(concept.images) in ((4, 5) if concept.kind == "content" else range(1, 6))
        assert all(("szn" in caption) == (concept.kind == "style") for caption in concept.captions)


def test_the_shipped_concepts_are_those_of_the_code(tmp_path: Path) -> None:
    export_concepts(tmp_path)
    shipped = ROOT / "data" / "embedded"
    assert (tmp_path / "concepts.yaml").read_text() == (shipped / "concepts.yaml").read_text()
    for path in sorted((tmp_path / "images").rglob("*.png")):
        assert path.read_bytes() == (shipped / path.relative_to(tmp_path)).read_bytes(), path


def test_only_concepts_that_mergers_learn_from_are_described(tmp_path: Path) -> None:
    export_concepts(tmp_path)
    concepts = load_concepts([tmp_path / "concepts.yaml"], tmp_path / "images")
    described = {name.split("_")[0] for name, concept in concepts.items() if concept.description}
    assert described == {"train", "validation"}
    assert all(concept.description == "" for name, concept in concepts.items() if name.startswith("test"))
    content, style = subject_of("train_content_03"), style_of("validation_style_01")
    assert concepts["train_content_03"].description == f"a {content.words()}"
    assert concepts["validation_style_01"].description == f"{style.words()} style"
