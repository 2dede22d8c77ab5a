"""Checkpoints of one run as versions of each other: cosines, rates of detection, false alarms at every threshold.

    python experiments/library/epochs.py

24 styles are trained as in the way "own", but 100 steps of one image, and saved every 25 steps, to runs/library/epochs.
False alarms are counted over all pairs of different LoRAs of train.py and of the shipped zoo.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from collection import HERE, collection, exact_cosines, shipped
from train import RUNS, STYLES, style_concept

from lorarar import load
from lorarar.diffusion import load_backbone
from lorarar.library import judge_pair, measure_pair
from lorarar.library.products import cosine
from lorarar.storage import write_json
from lorarar.training import Recipe, ZooTraining, fit, write_unit

EPOCHS, STEPS = RUNS / "epochs", (25, 50, 75, 100)
RECIPE = Recipe(rank=8, alphas=(8,), steps=STEPS[-1], images=1, learning_rate=2.5e-3, seed=6)
THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def main() -> None:
    """Train, measure, write results."""
    torch.set_num_threads(1)
    train()
    runs = [[load(epoch_file(split, index, step)) for step in STEPS] for split, index in STYLES]
    rows = {}
    for (i, early), (j, late) in combinations(enumerate(STEPS), 2):
        pairs = [(run[i], run[j]) for run in runs]
        cosines = np.array([cosine(a, b) for a, b in pairs])
        rows[f"{early} and {late} steps"] = {
            "least cosine": round(float(cosines.min()), 3),
            "median cosine": round(float(np.median(cosines)), 3),
            "found": sum(judge_pair(measure_pair(b, a)) is not None for a, b in pairs),
            **{f"cosine at least {t}": int((cosines >= t).sum()) for t in THRESHOLDS},
        }
        print(rows, flush=True)
    different = [member.lora for kind in ("style", "content") for member in collection(kind) if member.way != "shipped"]
    different += shipped()
    others = exact_cosines(different)[np.triu_indices(len(different), 1)]
    alarms = {f"{t}": int((others >= t).sum()) for t in THRESHOLDS}
    write_json(
        HERE / "epochs.json",
        {
            "runs": len(runs),
            "pairs of one run": rows,
            "pairs of different LoRAs": len(others),
            "largest cosine of different LoRAs": round(float(others.max()), 3),
            "false alarms by threshold": alarms,
        },
    )


def epoch_file(split: str, index: int, step: int) -> Path:
    """Return the file of a style's LoRA after some steps."""
    return EPOCHS / f"{split}_style_{index:02d}_step_{step:03d}.safetensors"


def train() -> None:
    """Train the runs; those that are there are skipped."""
    if all(epoch_file(*style, step).exists() for style in STYLES for step in STEPS):
        return
    backbone = load_backbone("data/embedded/base", device="cpu")
    concepts = [style_concept("epochs0", split, index, 2) for split, index in STYLES]
    module = ZooTraining(backbone, concepts, RECIPE)
    EPOCHS.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        fit(module, steps=step, folder=RUNS / "checkpoints" / "epochs", accelerator="cpu", checkpoint_every=STEPS[0])
        for number, (concept, style) in enumerate(zip(concepts, STYLES, strict=True)):
            write_unit(module.units, number, concept, epoch_file(*style, step))


if __name__ == "__main__":
    main()
