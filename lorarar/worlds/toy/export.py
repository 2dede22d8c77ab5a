"""Export of the world's concepts as images in folders and a manifest, as users keep theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from lorarar.storage import write_text
from lorarar.worlds.toy.captions import content_prompt, style_prompt
from lorarar.worlds.toy.world import (
    SPLITS,
    STYLE_TOKEN,
    concept_name,
    content_images,
    style_images,
    style_subjects,
    toy_world,
)


def export_concepts(folder: Path) -> None:
    """Write `folder/images/<concept>/<i>.png` and `folder/concepts.yaml` for all three splits."""
    entries: list[dict[str, Any]] = []
    splits: dict[str, dict[str, list[str]]] = {}
    for split, count in SPLITS.items():
        splits[split] = {"contents": [], "styles": []}
        for index in range(count):
            for entry, images in (_content(split, index), _style(split, index)):
                _write_images(folder / "images" / entry["name"], images)
                entries.append(entry)
                splits[split][f"{entry['kind']}s"].append(entry["name"])
    text = yaml.safe_dump({"concepts": entries, "splits": {"embedded": splits}}, sort_keys=False, width=110)
    write_text(folder / "concepts.yaml", text)


def _content(split: str, index: int) -> tuple[dict[str, Any], list[NDArray[np.uint8]]]:
    subject, name = toy_world().subjects[split][index], concept_name(split, "content", index)
    entry = {"name": name, "kind": "content", "prompt": content_prompt(subject), "truth": subject.words()}
    return entry | _description(split, f"a {subject.words()}"), content_images(split, index)


def _style(split: str, index: int) -> tuple[dict[str, Any], list[NDArray[np.uint8]]]:
    style, name = toy_world().styles[split][index], concept_name(split, "style", index)
    entry = {
        "name": name,
        "kind": "style",
        "phrase": f"{STYLE_TOKEN} style",
        "captions": [style_prompt(subject) for subject in style_subjects(split, index)],
        "truth": style.words(),
    }
    return entry | _description(split, f"{style.words()} style"), style_images(split, index)


def _description(split: str, text: str) -> dict[str, str]:
    """Return the description for the base. Test concepts have none, so that training cannot use it."""
    return {} if split == "test" else {"description": text}


def _write_images(folder: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
