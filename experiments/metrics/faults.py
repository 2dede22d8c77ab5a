"""Faults: what similarities reward, and what the flags detect.

python experiments/metrics/faults.py writes faults.json beside the script. It renders the validation pairs in three
ways: the right image, a content that leaked from the reference of the style, and a content without any style. It
measures them against the shipped references.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lorarar.datasets import Item, load_references
from lorarar.evaluation.metrics import Encoders, measure_metrics
from lorarar.evaluation.metrics.encoders import load_encoder
from lorarar.storage import EMBEDDED, plain
from lorarar.worlds.toy import concept_name, neutral_looks, render, style_subjects, toy_world

HERE, SPLIT, MEMBERS, SEEDS = Path(__file__).parent, "validation", range(8), range(2)
METRICS = ("content_cosine", "style_cosine", "harmonic", "style_gram")
Pixels = NDArray[np.uint8]


def right(content: int, style: int, seed: int) -> Pixels:
    """Render the content in the style."""
    return render(toy_world().subjects[SPLIT][content], toy_world().styles[SPLIT][style], seed)


def leaked(content: int, style: int, seed: int) -> Pixels:
    """Render the subject of a style reference in the style: nothing of the content."""
    subjects = style_subjects(SPLIT, style)
    return render(subjects[seed % len(subjects)], toy_world().styles[SPLIT][style], 100 + seed)


def unstylised(content: int, style: int, seed: int) -> Pixels:
    """Render the content in a neutral look: nothing of the style."""
    looks = neutral_looks()
    return render(toy_world().subjects[SPLIT][content], looks[(content + seed) % len(looks)], 200 + seed)


def write_items(folder: Path) -> list[Item]:
    """Write the images of all kinds, pairs and seeds; return their items."""
    draws: dict[str, Callable[[int, int, int], Pixels]] = {"right": right, "leaked": leaked, "unstylised": unstylised}
    items = []
    for (method, draw), content, style, seed in itertools.product(draws.items(), MEMBERS, MEMBERS, SEEDS):
        names = concept_name(SPLIT, "content", content), concept_name(SPLIT, "style", style)
        path = folder / method / "+".join(names) / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(content, style, seed)).save(path)
        name = path.relative_to(folder).as_posix()
        items.append(Item(name, name, method, *names, seed))
    return items


def main() -> None:
    """Measure, and write faults.json."""
    torch.set_num_threads(1)
    references, result = load_references(EMBEDDED / "concepts.yaml", root=EMBEDDED / "images"), {}
    with tempfile.TemporaryDirectory() as name:
        items = write_items(Path(name))
        for encoder in map(load_encoder, ("tower", "pixels")):
            measurement = measure_metrics(items, references, Path(name), Encoders(encoder, encoder, encoder))
            result[encoder.name] = {
                "sha256": encoder.sha256,
                "copy_threshold": measurement.threshold,
                "images": {
                    result.method: {
                        "scores": {key: result.scores[key] for key in METRICS},
                        "flags": {key: asdict(rate) for key, rate in result.flags.items()},
                    }
                    for result in measurement.groups[0].methods
                },
            }
    text = json.dumps(plain(result), indent=1)
    (HERE / "faults.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
