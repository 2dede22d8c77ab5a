"""Picture of the README: LoRAs of mixed strengths, merged by three methods.

python docs/images/mixed_strengths.py [FILE]

Images and scores are those of experiments/ablations/mixed: six of its rows, all of its eight pairs. Above each pair
stand the factors by which the alphas of its LoRAs were multiplied.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorarar.datasets import contact_sheet, seed_of

ROOT = Path(__file__).resolve().parents[2]
MIXED = ROOT / "experiments/ablations/mixed"
FACTORS = ("1/4", "1/2", "1", "2", "4")  # MIXED of experiments/ablations/make.py
# Label -> row of the sheet, and of results.json where the row has a score.
ROWS = {
    "subject LoRA alone": (1, ""),
    "style LoRA alone": (2, ""),
    "sum of both": (3, "direct"),
    "ZipLoRA": (6, "ZipLoRA"),
    "lorarar": (10, "our network"),
    "target": (0, ""),
}
PAIRS = 8
LEFT, TOP, CELL, GAP = 203, 36, 72, 4  # pixels of the sheet
SIDE = 32  # pixels of a generated image


def main(path: Path) -> None:
    """Draw the picture."""
    sheet = Image.open(MIXED / "contact_sheet.png").convert("RGB")
    methods = json.loads((MIXED / "results.json").read_text(encoding="utf-8"))["methods"]
    cells = [[cut(sheet, row, pair) for pair in range(PAIRS)] for row, _ in ROWS.values()]
    scores = [f"  {methods[name]['joint']['mean']:.2f}" if name else "" for _, name in ROWS.values()]
    rows = [label + score for label, score in zip(ROWS, scores, strict=True)]
    contact_sheet(cells, path, columns=[strengths(pair) for pair in range(PAIRS)], rows=rows, cell=3 * SIDE)


def cut(sheet: Image.Image, row: int, pair: int) -> Tensor:
    """Return an image of the sheet (3, 32, 32), 0 to 1, as it was before the sheet enlarged it."""
    left, top = LEFT + pair * (CELL + GAP), TOP + row * (CELL + GAP)
    image = sheet.crop((left, top, left + CELL, top + CELL)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def strengths(pair: int) -> str:
    """Return the label of a pair: by what the alphas of its LoRAs are multiplied."""
    names = (f"test_{kind}_{pair:02}" for kind in ("content", "style"))
    subject, style = (FACTORS[seed_of("scale", name) % len(FACTORS)] for name in names)
    return f"subject x {subject}\nstyle x {style}"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
