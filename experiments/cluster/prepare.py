"""Inputs of the cluster experiment: many concepts of one small image each, a zoo's configuration and a benchmark's."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from lorarar.storage import EMBEDDED, write_text

SIZE = 32  # pixels of an image
MEMBERS = 40  # contents and styles that the classifier knows


def names(kind: str, numbers: range) -> list[str]:
    return [f"train_{kind}_{number:04d}" for number in numbers]  # the classifier reads the truth from them


def shape(cells: int) -> tuple[int, int]:
    """Return the number of rows, and of contents and styles, of a benchmark of at least so many cells."""
    rows = -(-cells // MEMBERS**2)
    return rows, math.ceil((cells / rows) ** 0.5)


def prepare(folder: Path, *, loras: int, cells: int, group: int) -> None:
    """Write the images, concepts.yaml, zoo.yaml and quality.yaml.

    Args:
        folder: Where to write.
        loras: Number of LoRAs of the zoo, half contents and half styles.
        cells: Number of cells of the benchmark: rows on a square of pairs.
        group: LoRAs in a batch.
    """
    rows, side = shape(cells)
    numbers = {"pairs": range(side), "others": range(side, loras // 2)}
    splits = {
        split: {f"{kind}s": names(kind, part) for kind in ("content", "style")} for split, part in numbers.items()
    }
    random, concepts = np.random.default_rng(0), []
    for kind, text in (("content", {"prompt": "a sks cat"}), ("style", {"phrase": "szn style", "captions": ["a cat"]})):
        for name in (name for split in splits.values() for name in split[f"{kind}s"]):
            place = folder / "images" / name
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "0.png")
            concepts.append({"name": name, "kind": kind, **text})
    write_text(folder / "concepts.yaml", yaml.safe_dump({"concepts": concepts, "splits": {"all": splits}}))
    common: dict[str, Any] = {
        "base": str(EMBEDDED / "base"),
        "manifests": [str(folder / "concepts.yaml")],
        "images": str(folder / "images"),
        "splits": str(folder / "concepts.yaml"),
        "split": "all",
        "device": "cpu",
    }
    recipe = {"rank": 2, "alphas": [2], "steps": 20, "images": 1, "learning_rate": 1e-3}
    zoo = common | {"output": str(folder / "loras"), "runs": str(folder / "zoo"), "recipe": recipe, "group": group}
    weights = [{"name": f"weight {n}", "kind": "merger", "source": "direct"} for n in range(rows)]
    methods = [row | {"settings": {"weights": [1.0, 1.0 - n / 10]}} for n, row in enumerate(weights)]
    quality = common | {
        "output": str(folder / "results"),
        "runs": str(folder / "quality"),
        "loras": str(folder / "loras"),
        "methods": methods,
        "pairs": "pairs",
        "seeds": [0],
        "steps": 1,
        "guidance": 1.0,
        "group": 10,
        "classifier": str(EMBEDDED / "classifier.safetensors"),
    }
    for name, config in (("zoo", zoo), ("quality", quality)):
        write_text(folder / f"{name}.yaml", yaml.safe_dump(config))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--loras", type=int, default=1000)
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--group", type=int, default=10)
    options = parser.parse_args()
    prepare(options.folder, loras=options.loras, cells=options.cells, group=options.group)
