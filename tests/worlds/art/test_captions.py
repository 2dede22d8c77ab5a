"""lorarar.worlds.art.captions: what the base hears of, and what it must not."""

from __future__ import annotations

import numpy as np

from lorarar.worlds.art.captions import (
    LENGTH,
    base_caption,
    content_prompt,
    style_prompt,
    vocabulary_words,
)
from lorarar.worlds.art.catalogue import Drawing, all_drawings, drawing_packages
from lorarar.worlds.art.styles import GROUNDS, ArtStyle, all_styles, plain_grounds
from lorarar.worlds.art.world import art_world

BRANDS = ("fluent", "noto", "twemoji", "emojione", "fxemoji", "google", "mozilla", "microsoft", "twitter", "emoji")


def captions(styles: tuple[ArtStyle, ...], count: int = 4000) -> list[tuple[Drawing, ArtStyle, str]]:
    drawings, random = art_world().drawings["base"], np.random.default_rng(0)
    pairs = [(drawings[random.integers(256)], styles[random.integers(len(styles))]) for _ in range(count)]
    return [(drawing, style, base_caption(drawing, style, random)) for drawing, style in pairs]


def test_captions_name_manner_class_and_style_as_often_as_they_should() -> None:
    texts = captions(art_world().styles["base"])
    full = [(drawing, style, text) for drawing, style, text in texts if text]
    assert 0.08 < 1 - len(full) / len(texts) < 0.12
    assert all(drawing.class_name in text.split() for drawing, _, text in full)
    named = np.mean([drawing.words in text for drawing, _, text in full])
    whole = np.mean([text.endswith(f" in {style.words} style") for _, style, text in full])
    family = np.mean([text.endswith(f"{d.class_name} in {style.family} style") for d, style, text in full])
    assert abs(named - 0.7) < 0.03
    assert abs(whole - 0.85) < 0.03
    assert abs(family - 0.1) < 0.02


def test_a_plain_ground_is_named_in_half_of_the_captions() -> None:
    texts = [(style, text) for _, style, text in captions(plain_grounds()) if text]
    assert abs(np.mean([text.endswith(f" on {style.variant}") for style, text in texts]) - 0.5) < 0.03
    assert not any("style" in text for _, text in texts)


def test_the_base_hears_of_no_token_no_brand_and_no_held_out_style() -> None:
    held_out = [style.words for split in ("train", "validation", "test") for style in art_world().styles[split]]
    for _, _, text in captions(art_world().styles["base"]):
        assert not {"sks", "szn"} & set(text.split())
        assert not any(words in text for words in held_out)
    assert not any(brand in word for brand in BRANDS for word in vocabulary_words())


def test_a_word_has_one_role() -> None:
    roles = [
        set(drawing_packages()),
        {drawing.class_name for drawing in all_drawings()},
        {style.family for style in all_styles()},
        {style.variant for style in all_styles()} | set(GROUNDS),
        {"a", "in", "on", "style", "sks", "szn"},
    ]
    assert len(set().union(*roles)) == sum(map(len, roles)) == len(vocabulary_words())


def test_prompts_fit() -> None:
    lion = next(drawing for drawing in all_drawings() if drawing.class_name == "lion")
    assert content_prompt(lion) == "a sks lion"
    assert style_prompt(lion) == "a lion in szn style"
    longest = max(len(text.split()) for _, _, text in captions(art_world().styles["base"], 300))
    assert longest + 2 <= LENGTH
