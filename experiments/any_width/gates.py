"""Are a base of other widths and its LoRAs good enough to compare mergers on?

    python experiments/any_width/gates.py wide|transformer [SPLIT]

Prints, and adds to results.json, the reader's scores of the base on described images and, where there are LoRAs, of
each LoRA alone on its own prompts, of the base there, and of the sum of both LoRAs on the split's pairs.
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
from lorarar.mergers.methods import direct
from lorarar.storage import read_card
from lorarar.training import load_loras
from lorarar.worlds.toy import (
    ATTRIBUTES,
    PairScorer,
    generate_and_score,
    load_classifier,
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
    """Score what there is of a base."""
    folder, start = Path("runs") / name, time.perf_counter()
    backbone, classifier = load_backbone(folder / "base"), load_classifier(DATA / "classifier.safetensors")
    found = {"described": described(backbone, classifier, folder / "described.png")}
    members = load_splits(HERE / "splits.yaml", "any_width")[split]
    if all((folder / "loras" / f"{name}.safetensors").is_file() for name in (*members.contents, *members.styles)):
        found |= {split: alone(backbone, classifier, folder, split)}
    found["seconds"] = round(time.perf_counter() - start, 1)
    found["date"] = datetime.date.today().isoformat()
    found["base"] = {key: read_card(folder / "base")[key] for key in ("recipe", "parameters")}
    path = HERE / "results.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[name] = kept.get(name, {}) | found
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def described(backbone, classifier, picture: Path) -> dict[str, float]:
    """The share of right attributes, for described pairs of the base's own sets."""
    known, random = toy_world(), np.random.default_rng(0)
    subjects = [known.subjects["base"][i] for i in random.choice(len(known.subjects["base"]), DESCRIBED)]
    styles = [known.styles["base"][i] for i in random.choice(len(known.styles["base"]), DESCRIBED)]
    prompts = [f"a {s.words()} in {t.words()} style" for s, t in zip(subjects, styles, strict=True)]
    truths = [truth(s, t) for s, t in zip(subjects, styles, strict=True)]
    scored = generate_and_score(backbone, classifier, [None] * DESCRIBED, prompts, truths, SEEDS)
    save_image(tile_images(scored.images[:, 0], columns=8), picture)
    read = classifier.read(scored.images.flatten(0, 1) * 2 - 1).unflatten(0, (DESCRIBED, -1))
    right = (read == torch.tensor(truths)[:, None]).float().mean((0, 1))
    return rounded(dict(zip(ATTRIBUTES, right.tolist(), strict=True)) | scored.means())


def alone(backbone, classifier, folder: Path, split: str) -> dict[str, dict[str, float]]:
    """Each LoRA on its own prompts, the base on the same, and the sum of both on the split's pairs."""
    concepts = load_concepts([DATA / "concepts.yaml"], DATA / "images")
    members = load_splits(HERE / "splits.yaml", "any_width")[split]
    loras = load_loras(folder / "loras", [*members.contents, *members.styles])
    any_style = toy_world().styles["base"][0]
    cases = {
        "content": [(n, concepts[n].phrase, truth(subject_of(n), any_style)) for n in members.contents],
        "style": [
            (n, caption, truth(shown, style_of(n)))
            for n in members.styles
            for caption, shown in zip(
                concepts[n].captions, style_subjects(split, int(n.rsplit("_", 1)[1])), strict=True
            )
        ],
    }
    found = {}
    for kind, rows in cases.items():
        prompts, truths = [row[1] for row in rows], [row[2] for row in rows]
        for who, used in (("lora", [loras[row[0]] for row in rows]), ("base", [None] * len(rows))):
            scored = generate_and_score(backbone, classifier, used, prompts, truths, SEEDS)
            found[f"{kind} {who} alone"] = rounded({kind: scored.means()[kind]})
    scorer = PairScorer(backbone, classifier, members.pairs(concepts), loras, SEEDS)
    scored = scorer.scored(scorer.merged(direct))
    save_image(tile_images(scored.images[:, 0], columns=len(members.styles)), folder / f"direct_{split}.png")
    return found | {"direct": rounded(scored.means())}


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Three digits."""
    return {key: round(value, 3) for key, value in values.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
