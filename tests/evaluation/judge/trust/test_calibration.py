"""lorarar.evaluation.judge.trust.calibration: cases whose right answer is known, from the references alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lorarar.datasets.images import load_image
from lorarar.datasets.records import AXES, ReferenceConcept
from lorarar.datasets.references import References, load_references
from lorarar.evaluation.judge.ask.planning import Asking, Gallery
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.trust.calibration import Calibration, make_cases, plan_cases
from tests.evaluation.judge.sample import write_references


@pytest.fixture
def references(tmp_path: Path) -> References:
    return load_references(write_references(tmp_path, images=3))


@pytest.fixture
def calibration(references: References, tmp_path: Path) -> Calibration:
    return make_cases(references, tmp_path / "cases", limit=5)


def test_there_are_cases_of_every_kind(calibration: Calibration) -> None:
    counts = Counter((case.kind, case.axis, case.label) for case in calibration.cases)
    assert counts == {
        ("same_subject", "content", 1): 5,
        ("exact_copy", "content", 1): 5,
        ("same_style", "style", 1): 5,
        ("style_itself", "style", 1): 5,
        ("other_subject", "content", 0): 5,
        ("style_itself", "content", 0): 5,
        ("other_style", "style", 0): 5,
        ("same_subject", "style", 0): 5,
        **{(kind, axis, 0): 5 for kind in ("blank", "noise", "text_card", "collage") for axis in ("content", "style")},
    }
    assert len({case.id for case in calibration.cases}) == len(calibration.cases)


def test_labels_are_right(calibration: Calibration, references: References) -> None:
    for case in calibration.cases:
        concept, name = case.reference.split("/")[0], Path(case.image).parent.name
        assert calibration.concepts[case.id].name == concept
        assert case.degenerate == (name == "cases")
        if case.kind in ("exact_copy", "same_style", "other_subject", "other_style") or case.label:
            assert (name == concept) == bool(case.label)
        same = (references.root / case.reference).read_bytes() == Path(case.image).read_bytes()
        assert same == (case.kind == "exact_copy" or (case.kind == "style_itself" and case.label == 1))


def test_degenerate_images_have_the_references_size(calibration: Calibration) -> None:
    for case in calibration.cases:
        if case.degenerate:
            assert load_image(Path(case.image)).size == (12, 8)
    pictures = {
        kind: [c.image for c in calibration.cases if c.kind == kind] for kind in ("blank", "noise", "text_card")
    }
    for kind, paths in pictures.items():
        flat = [np.ptp(np.asarray(load_image(Path(path))).reshape(-1, 3), axis=0).max() == 0 for path in paths]
        assert all(flat) == (kind == "blank")


def test_a_collage_is_half_and_half_and_asked_about_on_both_axes(
    calibration: Calibration, references: References
) -> None:
    content, style = (
        next(c for c in calibration.cases if c.id == f"calibration/collage/{axis}/0") for axis in ("content", "style")
    )
    assert content.image == style.image
    made, left, right = (
        np.asarray(load_image(path))
        for path in (Path(content.image), references.root / content.reference, references.root / style.reference)
    )
    np.testing.assert_array_equal(made[:, :6], left[:, :6])
    np.testing.assert_array_equal(made[:, 6:], right[:, 6:])


def test_it_is_the_same_every_time(references: References, calibration: Calibration, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (tmp_path / "cases").iterdir()}
    assert make_cases(references, tmp_path / "cases", limit=5) == calibration
    assert {path.name: path.read_bytes() for path in (tmp_path / "cases").iterdir()} == before


def test_few_references_give_few_cases(references: References, tmp_path: Path) -> None:
    concepts = {
        ("content", "dog"): replace(references.concepts["content", "dog"], images=("dog/0.png",)),
        ("style", "ink"): replace(references.concepts["style", "ink"], images=("ink/0.png",)),
        ("style", "bare"): ReferenceConcept("bare", "style", "bare", ()),
    }
    result = make_cases(replace(references, concepts=concepts), tmp_path / "cases", limit=5)
    counts = Counter((case.kind, case.axis) for case in result.cases if not case.degenerate)
    assert counts == {
        ("exact_copy", "content"): 1,
        ("style_itself", "style"): 1,
        ("style_itself", "content"): 1,
        ("same_subject", "style"): 1,
        # Five altered copies of the reference, and five of the only image that shows something else, on each axis.
        **{("flipped", axis): 2 for axis in AXES},
        **{("cropped", axis): 2 for axis in AXES},
        **{("reencoded", axis): 6 for axis in AXES},
    }
    assert sum(case.degenerate for case in result.cases) == 40
    assert len({case.id for case in result.cases}) == len(result.cases)


def test_altered_copies_are_easy_positives(references: References, tmp_path: Path) -> None:
    concepts = {key: replace(concept, images=concept.images[:1]) for key, concept in references.concepts.items()}
    result = make_cases(replace(references, concepts=concepts), tmp_path / "cases", limit=10)
    for case in result.cases:
        assert case.easy == (bool(case.label)), case.id
        if case.kind in ("flipped", "cropped", "reencoded"):
            copied, image = (np.asarray(load_image(p)) for p in (references.root / case.reference, Path(case.image)))
            assert image.shape == copied.shape
            assert not np.array_equal(image, copied)
            if case.kind == "flipped":
                assert np.array_equal(image[:, ::-1], copied) == bool(case.label)
    again = make_cases(replace(references, concepts=concepts), tmp_path / "again", limit=10)
    for first, second in zip(result.cases, again.cases, strict=True):
        assert (first.id, Path(first.image).read_bytes()) == (second.id, Path(second.image).read_bytes())


def test_enough_other_images_need_no_altered_copies(references: References, tmp_path: Path) -> None:
    kinds = {case.kind for case in make_cases(references, tmp_path / "cases", limit=5).cases}
    assert not kinds & {"flipped", "cropped", "reencoded"}


def test_styles_of_one_phrase_are_no_other_styles(references: References, tmp_path: Path) -> None:
    concepts = dict(references.concepts)
    for name in ("oil_3", "oil_4"):
        concepts["style", name] = replace(concepts["style", "oil_2"], name=name)
    del concepts["style", "ink"]
    result = make_cases(replace(references, concepts=concepts), tmp_path / "cases", limit=50)
    assert "other_style" in {case.kind for case in result.cases}  # all are "oil": the phrase tells nothing apart
    concepts["style", "ink"] = references.concepts["style", "ink"]
    result = make_cases(replace(references, concepts=concepts), tmp_path / "cases", limit=100)
    pairs = [
        {case.reference.split("_")[0].split("/")[0], Path(case.image).parent.name.split("_")[0]}
        for case in result.cases
        if case.kind == "other_style"
    ]
    assert pairs
    assert all(pair == {"oil", "ink"} for pair in pairs)


def test_questions_of_the_cases(calibration: Calibration, references: References) -> None:
    rubric = load_rubric("mars2")
    plan = plan_cases(calibration, references, Asking(rubric, {}), Gallery())
    assert [q.item for q in plan.questions] == [case.id for case in calibration.cases]
    assert not plan.refused
    for question, case in zip(plan.questions, calibration.cases, strict=True):
        assert (question.axis, question.reference, question.swapped) == (case.axis, case.reference, False)
        assert Path(question.images[1]) == Path(case.image).resolve()
    assert plan_cases(calibration, references, Asking(load_rubric("pairwise"), {}), Gallery()).questions == ()
