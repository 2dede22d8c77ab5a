"""Renders of the toy world with known faults: right images, leaked content, no style, and images of the base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from lorarar.datasets.records import Item
from lorarar.datasets.references import References, load_references
from lorarar.worlds.toy.attributes import Style, Subject, neutral_looks
from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.world import concept_name, content_images, style_images, style_subjects, toy_world

SPLIT, CONTENTS, STYLES = "validation", (0, 1, 2), (2, 3, 4)
Draw = Callable[[int, int, int], NDArray[np.uint8]]


def right(content: int, style: int, seed: int) -> NDArray[np.uint8]:
    """Render the content in the style."""
    return render(_subject(content), _style(style), seed)


def leaked(content: int, style: int, seed: int) -> NDArray[np.uint8]:
    """Render the subject of a style reference in the style: nothing of the content."""
    subjects = style_subjects(SPLIT, style)
    return render(subjects[seed % len(subjects)], _style(style), 100 + seed)


def unstylised(content: int, style: int, seed: int) -> NDArray[np.uint8]:
    """Render the content in a neutral look: nothing of the style."""
    looks = neutral_looks()
    return render(_subject(content), looks[(content + seed) % len(looks)], 200 + seed)


def of_base(content: int, style: int, seed: int) -> NDArray[np.uint8]:
    """Render some subject in some style, the same for all methods."""
    return render(toy_world().subjects["base"][seed], toy_world().styles["base"][content + style], seed)


FAULTS: dict[str, Draw] = {"right": right, "leaked": leaked, "unstylised": unstylised}


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_references(folder: Path) -> References:
    """Write references.yaml with all contents and styles; the first content has a category of its own."""
    concepts = []
    for kind, numbers, images in (("content", CONTENTS, content_images), ("style", STYLES, style_images)):
        for number in numbers:
            name = concept_name(SPLIT, kind, number)
            for place, pixels in enumerate(images(SPLIT, number)):
                save(folder / "references" / name / f"{place}.png", pixels)
            concepts.append({"name": name, "kind": kind, "phrase": ("cat", "fish", "house")[number % 3]})
    concepts[0]["category"] = "animals"
    path = folder / "references" / "references.yaml"
    path.write_text(yaml.safe_dump({"concepts": concepts}))
    return load_references(path)


def write_items(folder: Path, methods: dict[str, Draw], *, seeds: int = 2, prompt_type: str = "combined") -> list[Item]:
    """Write images of each method at each pair, and return their items with prompts, in order."""
    items = []
    for method, draw in methods.items():
        for content in CONTENTS:
            for style in STYLES:
                for seed in range(seeds):
                    names = concept_name(SPLIT, "content", content), concept_name(SPLIT, "style", style)
                    path = f"{method}/{'+'.join(names)}/{seed}-{prompt_type}.png"
                    save(folder / "images" / path, draw(content, style, seed))
                    prompt = f"a sks {('cat', 'fish', 'house')[content % 3]} in szn style"
                    items.append(Item(path, path, method, *names, seed, prompt=prompt, prompt_type=prompt_type))
    return items


def _subject(content: int) -> Subject:
    return toy_world().subjects[SPLIT][content]


def _style(style: int) -> Style:
    return toy_world().styles[SPLIT][style]
