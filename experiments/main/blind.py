"""A contact sheet whose columns are shuffled for each pair, and the key in a file of its own.

python experiments/main/blind.py          (after run.sh, whose images it takes)
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from lorarar.concepts import load_concepts, load_images
from lorarar.pictures import contact_sheet
from lorarar.quality.cells import load_image

HERE, DATA, IMAGES = Path(__file__).parent, Path("data/embedded"), Path("runs/quality/images")
METHODS = ("our network", "LoRA.rar, as published", "two scalars", "direct")
PAIRS = [(i, (3 * i + 1) % 8) for i in range(8)]  # fixed beforehand; each content and each style once


def main() -> None:
    draw, key, rows = random.Random(2026), {}, []
    concepts = load_concepts([DATA / "concepts.yaml"], DATA / "images")
    for content, style in PAIRS:
        names = f"test_content_{content:02d}", f"test_style_{style:02d}"
        pair = "+".join(names)
        order = draw.sample(METHODS, len(METHODS))
        key[pair] = dict(zip("ABCD", order, strict=True))
        shown = [(load_images(concepts[name].images[:1], 32)[0] + 1) / 2 for name in names]
        rows.append(shown + [load_image(IMAGES / name.replace(" ", "_") / pair / "1.png") for name in order])
    contact_sheet(rows, HERE / "blind.png", columns=["content", "style", *"ABCD"])
    (HERE / "blind_key.json").write_text(json.dumps(key, indent=1) + "\n")


if __name__ == "__main__":
    main()
