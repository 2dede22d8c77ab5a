"""Training concepts made from words alone: the base draws their images. `python concepts.py [CONTENTS] [STYLES]`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import yaml

from lorarar.backbone import load_backbone
from lorarar.concepts import load_splits
from lorarar.generation import generate
from lorarar.imagining import SAMPLING
from lorarar.pictures import save_image
from lorarar.toyworld.attributes import neutral_looks
from lorarar.toyworld.captions import content_prompt, style_prompt
from lorarar.toyworld.world import CONTENT_IMAGES, STYLE_TOKEN, world

EMBEDDED = Path("data/embedded/concepts.yaml")
FOLDER = Path("runs/words")


def main(contents: int = 160, styles: int = 160) -> None:
    """Write the images and the manifest: subjects and styles of the base's own sets, chosen at random."""
    random = np.random.default_rng(0)
    subjects, looks = world().subjects["base"], world().styles["base"]
    backbone = load_backbone("data/embedded/base")
    entries = []
    for index, chosen in enumerate(random.permutation(len(subjects))[:contents]):
        subject, name = subjects[chosen], f"words_content_{index:03d}"
        shown = random.permutation(len(neutral_looks()))[: CONTENT_IMAGES[index % len(CONTENT_IMAGES)]]
        prompts = [f"a {subject.words()} in {neutral_looks()[look].words()} style" for look in shown]
        draw(backbone, prompts, index, FOLDER / "images" / name)
        words = f"a {subject.words()}"
        entries.append({"name": name, "kind": "content", "prompt": content_prompt(subject), "description": words})
    for index, chosen in enumerate(random.permutation(len(looks))[:styles]):
        style, name = looks[chosen], f"words_style_{index:03d}"
        shown = subjects[random.integers(len(subjects))]
        draw(backbone, [f"a {shown.words()} in {style.words()} style"], index, FOLDER / "images" / name)
        entries.append(
            {
                "name": name,
                "kind": "style",
                "phrase": f"{STYLE_TOKEN} style",
                "captions": [style_prompt(shown)],
                "description": f"{style.words()} style",
            }
        )
    embedded = load_splits(EMBEDDED, "embedded")
    names = {kind: [e["name"] for e in entries if e["kind"] == kind] for kind in ("content", "style")}
    train, validation = embedded["train"], embedded["validation"]
    splits = {
        "train": {
            "contents": [*train.contents, *names["content"]],
            "styles": [*train.styles, *names["style"]],
        },
        "validation": {"contents": list(validation.contents), "styles": list(validation.styles)},
    }
    text = yaml.safe_dump({"concepts": entries, "splits": {"words": splits}}, sort_keys=False, width=110)
    (FOLDER / "concepts.yaml").write_text(text)


def draw(backbone, prompts: list[str], seed: int, folder: Path) -> None:
    """One image of each prompt, at seeds of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, prompt in enumerate(prompts):
        image = generate(backbone, [None], [prompt], [1000 * seed + index], SAMPLING)[0, 0]
        save_image(image, folder / f"{index}.png")


if __name__ == "__main__":
    main(*(int(count) for count in sys.argv[1:]))
