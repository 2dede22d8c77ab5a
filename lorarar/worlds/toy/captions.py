"""Captions for pre-training the base, for LoRAs and for pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lorarar.datasets import Pair
from lorarar.worlds.toy.attributes import CATEGORIES, Style, Subject
from lorarar.worlds.toy.world import CONTENT_TOKEN, STYLE_TOKEN, ToyWorld, style_of, subject_of


def base_caption(subject: Subject, style: Style, world: ToyWorld, random: np.random.Generator) -> str:
    """Return a caption for a pre-training image.

    Names, descriptions and shorter texts are mixed, so that names can be combined. One caption in ten is empty, for
    classifier-free guidance.
    """
    if random.random() < 0.1:
        return ""
    return f"a {_subject_words(subject, world, random)}{_style_words(style, world, random)}"


def _subject_words(subject: Subject, world: ToyWorld, random: np.random.Generator) -> str:
    if random.random() < 0.1:
        return CATEGORIES[subject.category]
    name = world.subject_names.get(subject)
    if name and random.random() < 0.7:
        return f"{name} {CATEGORIES[subject.category]}"
    return subject.words()


def _style_words(style: Style, world: ToyWorld, random: np.random.Generator) -> str:
    if random.random() < 0.08:
        return ""
    name = world.style_names.get(style)
    if name and random.random() < 0.7:
        return f" in {name} style"
    return f" in {style.words()} style"


def content_prompt(subject: Subject) -> str:
    """Return the caption of a content LoRA, such as "a sks cat"."""
    return f"a {CONTENT_TOKEN} {CATEGORIES[subject.category]}"


def style_prompt(subject: Subject) -> str:
    """Return the caption of a style LoRA, such as "a cat in szn style".

    It names the category alone, as the paper's captions do ("a village in oil painting style"). So the subject of the
    one image leaks into the LoRA: a good merge keeps the style and leaves the subject out.
    """
    return f"a {CATEGORIES[subject.category]} in {STYLE_TOKEN} style"


def pair_prompt(subject: Subject) -> str:
    """Return the combined prompt of a pair, such as "a sks cat in szn style"."""
    return f"{content_prompt(subject)} in {STYLE_TOKEN} style"


def describe_pair(pair: Pair) -> Pair:
    """Return the pair with descriptions of both concepts, which the manifest withholds for test pairs.

    They are for ceilings of the comparison alone.
    """
    content, style = subject_of(pair.content.name).words(), style_of(pair.style.name).words()
    return Pair(replace(pair.content, description=f"a {content}"), replace(pair.style, description=f"{style} style"))
