"""Write a manifest of training concepts that exist in words alone, beside the embedded default's validation concepts.

    python experiments/words/concepts.py

`lorarar synthesise configs/zoo/words.yaml` draws their images. Subjects and styles are of the base's own sets, so none
of them is a validation or a test concept.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import yaml

from lorarar.datasets import load_splits
from lorarar.worlds.toy import CONTENT_IMAGES, STYLE_TOKEN, content_prompt, neutral_looks, style_prompt, toy_world

EMBEDDED, FOLDER = Path("data/embedded"), Path("runs/words")
COUNT = 40  # contents, and as many styles: the number of the embedded default


def main() -> None:
    random = np.random.default_rng(0)
    contents = [content(i, chosen, random) for i, chosen in enumerate(picked(toy_world().subjects["base"], random))]
    styles = [style(i, chosen, random) for i, chosen in enumerate(picked(toy_world().styles["base"], random))]
    kept = load_splits(EMBEDDED / "concepts.yaml", "embedded")["validation"]
    for name in (*kept.contents, *kept.styles):
        shutil.copytree(EMBEDDED / "images" / name, FOLDER / "images" / name, dirs_exist_ok=True)
        (FOLDER / "loras").mkdir(parents=True, exist_ok=True)
        for suffix in (".safetensors", ".card.json"):
            shutil.copy(EMBEDDED / "loras" / f"{name}{suffix}", FOLDER / "loras")
    splits = {
        "train": {"contents": [entry["name"] for entry in contents], "styles": [entry["name"] for entry in styles]},
        "validation": {"contents": list(kept.contents), "styles": list(kept.styles)},
    }
    manifest = {"concepts": contents + styles, "splits": {"words": splits}}
    (FOLDER / "concepts.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, width=110))


def picked(members, random: np.random.Generator) -> list:
    return [members[i] for i in random.permutation(len(members))[:COUNT]]


def content(index: int, subject, random: np.random.Generator) -> dict:
    """Return a content on plain grounds of several tones, like the embedded default's contents."""
    looks = random.permutation(len(neutral_looks()))[: CONTENT_IMAGES[index % len(CONTENT_IMAGES)]]
    return {
        "name": f"words_content_{index:02d}",
        "kind": "content",
        "prompt": content_prompt(subject),
        "description": f"a {subject.words()}",
        "synthetic_prompts": [f"a {subject.words()} in {neutral_looks()[look].words()} style" for look in looks],
    }


def style(index: int, chosen, random: np.random.Generator) -> dict:
    """Return a style of one image, of some subject."""
    shown = toy_world().subjects["base"][random.integers(len(toy_world().subjects["base"]))]
    return {
        "name": f"words_style_{index:02d}",
        "kind": "style",
        "phrase": f"{STYLE_TOKEN} style",
        "captions": [style_prompt(shown)],
        "description": f"{chosen.words()} style",
        "synthetic_prompts": [f"a {shown.words()} in {chosen.words()} style"],
    }


if __name__ == "__main__":
    main()
