"""lorarar.worlds.toy.transformations and analogies: exact changes, held-out sets, one explanation for each example."""

from __future__ import annotations

import itertools

import pytest
import torch

import lorarar.worlds.toy.transformations as module
from lorarar.worlds.toy.analogies import (
    describe_change,
    draw_analogies,
    is_reserved,
    plan_analogies,
    plan_edits,
    read_scenes,
)
from lorarar.worlds.toy.transformations import (
    HELD_OUT,
    KINDS,
    SEEN,
    Scene,
    Transformation,
    check_splits,
    explanations,
    has_held_out_value,
    transformations_of,
)
from lorarar.worlds.toy.vocabulary import vocabulary_words

SCENE = Scene(category=2, hue=1, mark=0, mark_colour=2, pattern=3, level=0, ground=4, outline=1, shading=0)


def apply(name: str, *values: int) -> dict[str, int]:
    """What a kind changes in `SCENE`."""
    after = Transformation(((KINDS[name], values),))(SCENE)
    return {part: new for part, old, new in zip(Scene._fields, SCENE, after, strict=True) if new != old}


def test_changes_worked_out_by_hand() -> None:
    assert apply("paint", 5) == {"hue": 5}
    assert apply("tone", 1, 0) == {"level": 1, "ground": 0}
    assert apply("swap") == {"hue": 4, "ground": 1}
    assert apply("turn", 3) == {"ground": 1, "hue": 4}
    assert apply("contrast", 5) == {"hue": 5, "ground": 2}
    assert apply("negative") == {"hue": 4, "ground": 1, "level": 1}
    assert apply("single", 3) == {"hue": 3, "ground": 3}
    assert SCENE.truth() == (2, 1, 0, 2, 3, 4, 1, 0)
    assert read_scenes(torch.tensor([SCENE.truth(), (0, 0, 0, 0, 0, 11, 0, 1)]))[1] == (0, 0, 0, 0, 0, 1, 5, 0, 1)
    assert read_scenes(torch.tensor([SCENE.truth()])) == [SCENE]


def test_what_is_held_out_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    check_splits()
    assert len(KINDS) >= 24
    assert len(HELD_OUT) == 8
    assert set(transformations_of("train")) == set(SEEN)
    trained = [t for found in transformations_of("train").values() for t in found]
    tested = [t for found in transformations_of("values").values() for t in found]
    assert not any(has_held_out_value(*t.steps[0]) for t in trained)
    assert all(has_held_out_value(*t.steps[0]) for t in tested)
    assert set(map(str, trained)).isdisjoint(map(str, tested))
    monkeypatch.setattr(module, "COMPOSITIONS", (*module.COMPOSITIONS, ("mark", "ink")))
    with pytest.raises(ValueError, match=r"found \['mark\+mark_colour', 'mark\+ink'\] in both"):
        check_splits()


@pytest.mark.parametrize("part", ["train", "values", "compositions", "types"])
def test_examples_are_exact_and_have_one_explanation(part: str) -> None:
    analogies = plan_analogies(part, 17, 3)
    assert analogies == plan_analogies(part, 17, 3)
    assert [a.transformation.name for a in analogies[:8]] == list(transformations_of(part))[:8]
    for analogy in analogies:
        change, scenes = analogy.transformation, analogy[1:5]
        assert (change(analogy.before), change(analogy.image)) == (analogy.after, analogy.target)
        assert change.changes_all(analogy.before)
        assert [is_reserved(analogy.before), is_reserved(analogy.image)] == [part != "train"] * 2
        assert part != "train" or not any(map(is_reserved, scenes))
        found = list(explanations(analogy.before, analogy.after))
        assert found == ([] if part == "compositions" else [change])


def test_ambiguous_examples_are_seen() -> None:
    before = SCENE._replace(hue=0, ground=3)
    swapped = Transformation(((KINDS["swap"], ()),))(before)
    assert {t.name for t in explanations(before, swapped)} == {"swap", "turn", "contrast"}


def test_images_differ_where_the_change_is() -> None:
    paints = [a for a in plan_analogies("train", 85, 0) if a.transformation.name == "paint"]
    analogy = next(a for a in paints if a.before.pattern and a.image.pattern)
    before, after, image, target = draw_analogies([analogy])[0].float()
    assert before.shape == (3, 32, 32)
    for one, other in ((before, after), (image, target)):
        assert not torch.equal(one, other)
        assert torch.equal(one[:, 0], other[:, 0])  # the pattern around the subject stays, pixel for pixel


def test_edits_have_words_of_the_base_and_leave_tests_alone() -> None:
    edits, words = plan_edits(300, 0), set(vocabulary_words())
    captions = {word for edit in edits for word in edit.caption.split()}
    assert captions <= words
    assert not any(is_reserved(scene) for edit in edits for scene in (edit.image, edit.target, edit.reference))
    assert {edit.place for edit in edits} == {None, 0, 1}
    for edit in edits:
        changed = {p for p, old, new in zip(Scene._fields, edit.image, edit.target, strict=True) if old != new}
        taken = {p for p, a, b in zip(Scene._fields, edit.reference, edit.target, strict=True) if a == b}
        assert changed <= taken
        assert edit.caption or not changed
    analogy = plan_analogies("types", 3, 0)[2]
    assert analogy.transformation.name == "object"
    assert describe_change(analogy).split()[0] == "a"
    assert len(describe_change(analogy).split()) == 3
    assert all(len(edit.caption.split()) <= 14 for edit in edits)
    assert len(set(itertools.chain.from_iterable(edit.seeds for edit in edits))) > 500
