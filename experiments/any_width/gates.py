"""Measure whether a base of other widths and its LoRAs are good enough to compare mergers on.

    python experiments/any_width/gates.py wide|transformer [SPLIT]

It prints the classifier's scores and adds them to results.json: of the base on described images and, where there are
LoRAs, of each LoRA alone on its own prompts, of the base on the same, and of the sum of both LoRAs on the pairs.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from lorarar.datasets import load_concepts, load_splits, save_image, tile_images
from lorarar.diffusion import load_backbone
from lorarar.mergers import MERGERS
from lorarar.storage import read_card
from lorarar.training import load_loras
from lorarar.worlds.stages import PairScorer, generate_and_score, load_classifier
from lorarar.worlds.toy import (
    ATTRIBUTES,
    style_of,
    style_subjects,
    subject_of,
    toy_world,
    truth,
)

HERE, DATA = Path(__file__).parent, Path("data/embedded")
SEEDS = (0, 1)
DESCRIBED = 48


def main(name: str, split: str = "validation") -> None:
    """Score a base and, where they exist, its LoRAs."""
    folder, start = Path("runs") / name, time.perf_counter()
    backbone, classifier = (
        load_backbone(folder / "base", device="cpu"),
        load_classifier(DATA / "classifier.safetensors"),
    )
    scores = {"described": described(backbone, classifier, folder / "described.png")}
    members = load_splits(HERE / "splits.yaml", "any_width")[split]
    if all((folder / "loras" / f"{name}.safetensors").is_file() for name in (*members.contents, *members.styles)):
        scores |= {split: alone(backbone, classifier, folder, split)}
    scores["seconds"] = round(time.perf_counter() - start, 1)
    scores["date"] = datetime.date.today().isoformat()
    scores["base"] = {key: read_card(folder / "base")[key] for key in ("recipe", "parameters")}
    path = HERE / "results.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[name] = kept.get(name, {}) | scores
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(scores, indent=1))


def described(backbone, classifier, picture: Path) -> dict[str, float]:
    """Return the share of right attributes, for described pairs of the base's own sets."""
    world, random = toy_world(), np.random.default_rng(0)
    subjects = [world.subjects["base"][i] for i in random.choice(len(world.subjects["base"]), DESCRIBED)]
    styles = [world.styles["base"][i] for i in random.choice(len(world.styles["base"]), DESCRIBED)]
    prompts = [f"a {s.words()} in {t.words()} style" for s, t in zip(subjects, styles, strict=True)]
    truths = [truth(s, t) for s, t in zip(subjects, styles, strict=True)]
    scored = generate_and_score(backbone, classifier, [None] * DESCRIBED, prompts, truths, SEEDS)
    save_image(tile_images(scored.images[:, 0], columns=8), picture)
    read = classifier.read(scored.images.flatten(0, 1) * 2 - 1).unflatten(0, (DESCRIBED, -1))
    right = (read == torch.tensor(truths)[:, None]).float().mean((0, 1))
    return rounded(dict(zip(ATTRIBUTES, right.tolist(), strict=True)) | scored.means())


def alone(backbone, classifier, folder: Path, split: str) -> dict[str, dict[str, float]]:
    """Score each LoRA on its own prompts, the base on the same, and the sum of both LoRAs on the split's pairs."""
    concepts = load_concepts([DATA / "concepts.yaml"], DATA / "images")
    members = load_splits(HERE / "splits.yaml", "any_width")[split]
    loras = load_loras(folder / "loras", [*members.contents, *members.styles])
    any_style = toy_world().styles["base"][0]
    cases = {
        "content": [(n, concepts[n].phrase, truth(subject_of(n), any_style)) for n in members.contents],
        "style": [
            (n, caption, truth(subject, style_of(n)))
            for n in members.styles
            for caption, subject in zip(
                concepts[n].captions, style_subjects(split, int(n.rsplit("_", 1)[1])), strict=True
            )
        ],
    }
    scores = {}
    for kind, rows in cases.items():
        prompts, truths = [row[1] for row in rows], [row[2] for row in rows]
        for who, used in (("lora", [loras[row[0]] for row in rows]), ("base", [None] * len(rows))):
            scored = generate_and_score(backbone, classifier, used, prompts, truths, SEEDS)
            scores[f"{kind} {who} alone"] = rounded({kind: scored.means()[kind]})
    scorer = PairScorer(backbone, classifier, members.pairs(concepts), loras, SEEDS)
    scored = scorer.scored(scorer.merged(MERGERS["direct"].call))
    save_image(tile_images(scored.images[:, 0], columns=len(members.styles)), folder / f"direct_{split}.png")
    return scores | {"direct": rounded(scored.means())}


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Round to three digits."""
    return {key: round(value, 3) for key, value in values.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
