"""Write renders of the art world's validation drawings in its validation styles, FOLDER/CONTENT/STYLE/SEED.png, and how
many of them the embedded encoder does not know, unlike.json.

python experiments/artworld/crossed.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from lorarar.evaluation.metrics import ImageFile, image_features
from lorarar.evaluation.metrics.encoders import SpecialisedEncoder, load_encoder
from lorarar.storage import write_json
from lorarar.worlds.art import art_world, render

HERE = Path(__file__).parent
SEEDS = 2  # renders of each drawing in each style


def main(folder: Path) -> None:
    """Write every drawing in every style, and count."""
    world, files = art_world(), []
    for drawing in world.drawings["validation"]:
        for style in world.styles["validation"]:
            for seed in range(SEEDS):
                files.append(ImageFile(folder, f"{drawing.class_name}/{style.words}/{seed}.png"))
                path = folder / files[-1].path
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(render(drawing, style, seed)).save(path)
    encoder = load_encoder("tower")
    assert isinstance(encoder, SpecialisedEncoder)
    unlike = encoder.are_unlike(image_features(files, encoder).of(files))
    write_json(HERE / "unlike.json", {"images": len(files), "unlike": int(unlike.sum())})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
