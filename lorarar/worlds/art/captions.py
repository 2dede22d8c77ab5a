"""Captions for pre-training the base, for LoRAs and for pairs."""

from __future__ import annotations

import numpy as np

from lorarar.worlds.art.catalogue import Drawing, all_drawings
from lorarar.worlds.art.styles import GROUNDS, PLAIN, ArtStyle, all_styles

CONTENT_TOKEN, STYLE_TOKEN = "sks", "szn"
LENGTH = 12  # tokens in a prompt, start and end included


def base_caption(drawing: Drawing, style: ArtStyle, random: np.random.Generator) -> str:
    """Return a caption for a pre-training image, such as "a glossy lion in grey pencil style".

    The artist's word is in 70 % of the captions, the style's two words in 85 % and the family alone in 10 %. A plain
    ground is named in half of them. One caption in ten is empty, for classifier-free guidance.
    """
    if random.random() < 0.1:
        return ""
    subject = drawing.words if random.random() < 0.7 else drawing.class_name
    return f"a {subject}{_style_words(style, random)}"


def _style_words(style: ArtStyle, random: np.random.Generator) -> str:
    share = random.random()
    if style.family == PLAIN:
        return f" on {style.variant}" if share < 0.5 else ""
    if share < 0.85:
        return f" in {style.words} style"
    return f" in {style.family} style" if share < 0.95 else ""


def content_prompt(drawing: Drawing) -> str:
    """Return the caption of a content LoRA, such as "a sks lion"."""
    return f"a {CONTENT_TOKEN} {drawing.class_name}"


def style_prompt(drawing: Drawing) -> str:
    """Return the caption of a style LoRA, such as "a lion in szn style"."""
    return f"a {drawing.class_name} in {STYLE_TOKEN} style"


def vocabulary_words() -> list[str]:
    """Return every word of captions and prompts, sorted."""
    words = {"a", "in", "on", "style", CONTENT_TOKEN, STYLE_TOKEN, *GROUNDS}
    words |= {word for drawing in all_drawings() for word in (drawing.artist, drawing.class_name)}
    words |= {word for style in all_styles() for word in (style.variant, style.family)}
    return sorted(words)
