"""Draw a contact sheet whose columns are shuffled for each pair, and write the key to a file of its own.

python experiments/main/blind.py          (after run.sh, whose images it uses)
python experiments/main/blind.py mixed    (LoRAs of mixed strengths, after experiments/ablations/run.sh)
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets import contact_sheet, load_concepts, load_image, load_images

HERE, DATA = Path(__file__).parent, Path("data/embedded")
PAIRS = [(i, (3 * i + 1) % 8) for i in range(8)]  # fixed beforehand; each content and each style once


@dataclass(frozen=True)
class Sheet:
    """Methods of a sheet, the folder of their images, the noise seed of the images, and the folder for the sheet."""

    methods: tuple[str, ...]
    images: Path
    seed: int
    output: Path


SHEETS = {
    "main": Sheet(
        ("our network", "LoRA.rar, as published", "two scalars", "direct"), Path("runs/quality/images"), 1, HERE
    ),
    "mixed": Sheet(
        ("our network", "LoRA.rar", "ZipLoRA", "two scalars"),
        Path("runs/ablations/scale_mixed/images"),
        0,
        HERE.parent / "ablations" / "mixed",
    ),
}


def main(name: str = "main") -> None:
    sheet, draw, key, rows = SHEETS[name], random.Random(2026), {}, []
    concepts = load_concepts([DATA / "concepts.yaml"], DATA / "images")
    for content, style in PAIRS:
        names = f"test_content_{content:02d}", f"test_style_{style:02d}"
        pair = "+".join(names)
        order = draw.sample(sheet.methods, len(sheet.methods))
        key[pair] = dict(zip("ABCD", order, strict=True))
        references = [(load_images(concepts[name].images[:1], 32)[0] + 1) / 2 for name in names]
        files = [sheet.images / method.replace(" ", "_") / pair / f"{sheet.seed}.png" for method in order]
        rows.append(references + [load_image(file) for file in files])
    contact_sheet(rows, sheet.output / "blind.png", columns=["content", "style", *"ABCD"])
    (sheet.output / "blind_key.json").write_text(json.dumps(key, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
