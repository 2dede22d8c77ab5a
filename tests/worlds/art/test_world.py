"""lorarar.worlds.art.world and .catalogue: who is where, and that nothing leaks between the sets."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from lorarar.worlds.art import world as module
from lorarar.worlds.art.catalogue import Drawing, all_drawings, drawing_packages
from lorarar.worlds.art.styles import FILTERS, GROUNDS, PLAIN, ArtStyle, all_styles, plain_grounds
from lorarar.worlds.art.world import (
    NEW_FAMILIES,
    SPLITS,
    ArtWorld,
    art_style_of,
    art_world,
    check_world,
    content_images,
    drawing_of,
    style_drawings,
    style_images,
)


def test_sets_are_disjoint_and_of_their_sizes() -> None:
    world = art_world()
    assert SPLITS == {"train": (32, 40), "validation": (16, 16), "test": (16, 16)}
    assert {split: (len(world.drawings[split]), len(world.styles[split])) for split in SPLITS} == SPLITS
    assert (len(world.drawings["base"]), len(world.styles["base"])) == (256, 52)
    drawings = [(d.class_name, d.artist) for members in world.drawings.values() for d in members]
    styles = [style.words for members in world.styles.values() for style in members]
    assert len(set(drawings)) == len(drawings) == len(all_drawings())
    assert len(set(styles)) == len(styles) == len(all_styles())


def test_every_held_out_class_is_known_through_four_other_artists() -> None:
    base = [drawing.class_name for drawing in art_world().drawings["base"]]
    for split in SPLITS:
        for drawing in art_world().drawings[split]:
            assert base.count(drawing.class_name) == 4
    assert {drawing.artist for drawing in all_drawings()} == set(drawing_packages())


def test_test_styles_are_of_known_and_of_new_families() -> None:
    known = {style.family for style in art_world().styles["base"]}
    assert not known & set(NEW_FAMILIES)
    assert known | set(NEW_FAMILIES) == set(FILTERS)
    new = {split: sum(style.family not in known for style in art_world().styles[split]) for split in SPLITS}
    assert new == {"train": 4, "validation": 4, "test": 8}
    families = {split: {s.family for s in art_world().styles[split]} - known for split in SPLITS}
    assert not families["train"] & families["test"]
    assert not families["validation"] & families["test"]


def test_no_plain_ground_is_a_style_to_learn() -> None:
    assert [style.variant for style in plain_grounds()] == list(GROUNDS)
    assert PLAIN not in {style.family for style in all_styles()}


def test_the_world_never_changes() -> None:
    members = repr((art_world().drawings, art_world().styles))
    assert hashlib.sha256(members.encode()).hexdigest()[:16] == "c72c70324d8ac6c0"


def changed(**sets: tuple[Drawing | ArtStyle, ...]) -> ArtWorld:
    """The world with other sets, such as styles_base."""
    world = art_world()
    parts = {"drawings": dict(world.drawings), "styles": dict(world.styles)}
    for name, members in sets.items():
        kind, split = name.split("_")
        parts[kind][split] = members
    return ArtWorld(**parts)


def test_a_leak_is_refused() -> None:
    base, test = art_world().drawings["base"], art_world().drawings["test"]
    with pytest.raises(ValueError, match=r"expected disjoint sets, found \('\w+', '\w+'\) twice: take it out"):
        check_world(changed(drawings_base=(*base, replace(test[0], split="base"))))
    with pytest.raises(ValueError, match=r"expected \(16, 16\) contents and styles in 'test', found \(15, 16\)"):
        check_world(changed(drawings_test=test[1:]))
    without = tuple(drawing for drawing in base if drawing.class_name != test[0].class_name)
    with pytest.raises(ValueError, match=rf"every class in the base set, found none of \['{test[0].class_name}'\]"):
        check_world(changed(drawings_base=without))
    styles = (*art_world().styles["base"], ArtStyle("silver", "relief", "base"))
    with pytest.raises(ValueError, match=r"expected no style of \['relief'\] in the base set"):
        check_world(changed(styles_base=styles))


@pytest.mark.parametrize("split", SPLITS)
def test_reference_images_show_only_what_they_may(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[tuple[Drawing, ArtStyle]] = []
    monkeypatch.setattr(module, "render", lambda drawing, style, seed: rendered.append((drawing, style)))
    for index in range(SPLITS[split][0]):
        rendered.clear()
        content_images(split, index)
        drawings, grounds = zip(*rendered, strict=True)
        assert set(drawings) == {drawing_of(f"{split}_content_{index:02d}")}
        assert len(set(grounds)) == len(grounds) == 4 + index % 2  # so that the ground is not learnt
        assert set(grounds) <= set(plain_grounds())
    for index in range(SPLITS[split][1]):
        rendered.clear()
        style_images(split, index)
        drawings, styles = zip(*rendered, strict=True)
        assert set(styles) == {art_style_of(f"{split}_style_{index:02d}")}
        assert list(drawings) == style_drawings(split, index)
        assert len({drawing.class_name for drawing in drawings}) == 4
        assert set(drawings) <= set(art_world().drawings["base"])


def test_the_one_image_of_a_style_is_the_first_of_its_four() -> None:
    assert art_style_of("test_style_03_one_image") == art_style_of("test_style_03")
    assert style_drawings("test", 3, 1) == style_drawings("test", 3)[:1]
    np.testing.assert_array_equal(style_images("test", 3, 1)[0], style_images("test", 3)[0])
