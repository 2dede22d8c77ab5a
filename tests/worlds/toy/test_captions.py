"""lorarar.worlds.toy.captions: what the base hears of, and what it must not."""

from __future__ import annotations

import numpy as np

from lorarar.worlds.toy.attributes import CATEGORIES, Style, Subject, neutral_looks
from lorarar.worlds.toy.captions import base_caption, content_prompt, pair_prompt, style_prompt
from lorarar.worlds.toy.world import toy_world

HELD_OUT = ("train", "validation", "test")


def captions(count: int) -> list[tuple[Subject, Style, str]]:
    """Captions of the kind of pairs that the base is trained on."""
    world, random = toy_world(), np.random.default_rng(0)
    subjects, styles = world.subjects["base"], [*world.styles["base"], *neutral_looks()]
    found = []
    for _ in range(count):
        subject, style = subjects[random.integers(len(subjects))], styles[random.integers(len(styles))]
        found.append((subject, style, base_caption(subject, style, world, random)))
    return found


def test_the_base_never_hears_of_rare_tokens_or_held_out_concepts() -> None:
    world = toy_world()
    subjects = {subject.words() for split in HELD_OUT for subject in world.subjects[split]}
    styles = {style.words() for split in HELD_OUT for style in world.styles[split]}
    names = set(world.subject_names.values()) | set(world.style_names.values())
    for _, _, caption in captions(5000):
        assert not {"sks", "szn"} & set(caption.split())
        assert not any(words in caption for words in subjects)
        assert not any(words in caption for words in styles)
    assert set(world.subject_names) <= set(world.subjects["base"])
    assert set(world.style_names) <= set(world.styles["base"])
    assert len(names) == 200 + 120
    assert not names & {"sks", "szn", *CATEGORIES}


def test_a_caption_is_true_and_sometimes_empty() -> None:
    world = toy_world()
    found = captions(5000)
    assert 0.08 < np.mean([caption == "" for _, _, caption in found]) < 0.12
    for subject, style, caption in found:
        if caption:
            assert CATEGORIES[subject.category] in caption.split()
            assert caption.startswith("a ")
            for other, name in world.subject_names.items():
                assert name not in caption.split() or other == subject
            style_part = caption.partition(" in ")[2]
            assert style_part in ("", f"{style.words()} style", f"{world.style_names.get(style)} style")
    named = [caption for subject, _, caption in found if world.subject_names.get(subject, "-") in caption.split()]
    assert len(named) > 500


def test_prompts() -> None:
    subject = Subject(0, 1, 2, 0)
    assert subject.words() == "yellow cat with white band"
    assert content_prompt(subject) == "a sks cat"
    assert style_prompt(subject) == "a cat in szn style"
    assert pair_prompt(subject) == "a sks cat in szn style"
    assert Style(1, 4, 1, 0).words() == "light blue grid inked flat"
