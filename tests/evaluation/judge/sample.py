"""A small judging job on disk: noise images that differ, their references, and right answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from lorarar.evaluation.judge.ask.run_folder import Setup, read_setup
from lorarar.evaluation.judge.plan import plan_run

LAYOUT = "{method}/{content}+{style}/{seed}.png"
CONTENTS, STYLES, METHODS = ("cat_1", "dog"), ("ink", "oil_2"), ("direct", "merged_2")


def save_noise(path: Path, seed: int, size: tuple[int, int] = (12, 8)) -> Path:
    """An image like no other. Size: width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng((7, seed)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_references(folder: Path, *, images: int = 2) -> Path:
    """references.yaml with two contents and two styles, `images` each."""
    concepts = []
    for number, (name, kind) in enumerate([*((c, "content") for c in CONTENTS), *((s, "style") for s in STYLES)]):
        for image in range(images):
            save_noise(folder / "references" / name / f"{image}.png", 1000 + 10 * number + image)
        concepts.append({"name": name, "kind": kind, "phrase": name.partition("_")[0]})
    path = folder / "references" / "references.yaml"
    path.write_text(yaml.safe_dump({"concepts": concepts}))
    return path


def write_images(folder: Path, *, seeds: int = 2) -> Path:
    """`seeds` images for each method and pair."""
    names = [f"{m}/{c}+{s}/{seed}.png" for m in METHODS for c in CONTENTS for s in STYLES for seed in range(seeds)]
    for number, name in enumerate(names):
        save_noise(folder / "images" / name, number)
    return folder / "images"


def write_labels(path: Path, setup: Setup) -> dict[tuple[str, str], int]:
    """Right answers that differ between items and axes."""
    labels = {item.id: {"content": i % 2, "style": i // 2 % 2} for i, item in enumerate(setup.items)}
    path.write_text("".join(json.dumps({"item": item, **axes}) + "\n" for item, axes in labels.items()))
    return {(item, axis): label for item, axes in labels.items() for axis, label in axes.items()}


def planned_run(folder: Path, *, rubric: str = "mars2", images: int = 2, seeds: int = 2, cases: int = 6) -> Path:
    """A planned folder with labels.jsonl beside it."""
    references, root, run = write_references(folder, images=images), write_images(folder, seeds=seeds), folder / "run"
    plan_run(run, root, references, layout=LAYOUT, rubric=rubric, cases=cases)
    write_labels(folder / "labels.jsonl", read_setup(run))
    return run
