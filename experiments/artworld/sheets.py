"""Draw the sheets of the art world: all drawings, all styles, and 12 held-out contents in 12 held-out styles.

python experiments/artworld/sheets.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lorarar.datasets import contact_sheet
from lorarar.worlds.art import ArtStyle, Drawing, all_drawings, all_styles, art_world, plain_grounds, render

HELD_OUT_STYLES = (
    "sunset neon", "candy popart", "azure watercolour", "gold relief", "desert poster", "crimson duotone",
    "ringed sticker", "lagoon popart", "golden oil", "green bricks", "jade relief", "aurora nightfall",
)  # fmt: skip


def image(drawing: Drawing, style: ArtStyle, seed: int = 0) -> Tensor:
    """A render (3, 64, 64), 0 to 1."""
    return torch.from_numpy(render(drawing, style, seed)).permute(2, 0, 1) / 255


def draw_drawings(path: Path) -> None:
    """Four classes in a row, all artists of each on a white ground."""
    classes = list(dict.fromkeys(drawing.class_name for drawing in all_drawings()))
    groups = [classes[i : i + 4] for i in range(0, len(classes), 4)]
    white = plain_grounds()[0]
    cells = [[image(drawing, white) for drawing in all_drawings() if drawing.class_name in group] for group in groups]
    rows = [", ".join(group) for group in groups]
    contact_sheet(cells, path, columns=[""] * 20, rows=rows, cell=40)


def draw_styles(path: Path) -> None:
    """A family in a row, its variants on two drawings each."""
    base = art_world().drawings["base"]
    random = np.random.default_rng(3)
    families = list(dict.fromkeys(style.family for style in all_styles()))
    cells = []
    for family in families:
        shown = [base[i] for i in random.permutation(len(base))[:2]]
        cells.append([image(d, style) for style in all_styles() if style.family == family for d in shown])
    contact_sheet(cells, path, columns=[""] * max(map(len, cells)), rows=families, cell=48)


def draw_crossed(path: Path) -> None:
    """Test contents in rows and test styles in columns; the first column shows the drawing itself."""
    contents = art_world().drawings["test"][:12]
    styles = {style.words: style for style in art_world().styles["test"]}
    cells = [
        [image(drawing, plain_grounds()[0]), *(image(drawing, styles[words]) for words in HELD_OUT_STYLES)]
        for drawing in contents
    ]
    columns = ["drawing", *(words.replace(" ", "\n") for words in HELD_OUT_STYLES)]
    contact_sheet(cells, path, columns=columns, rows=[drawing.class_name for drawing in contents], cell=64)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    draw_drawings(folder / "drawings.png")
    draw_styles(folder / "styles.png")
    draw_crossed(folder / "crossed.png")
