"""Score every LoRA of the zoo in the wild alone, at its own prompt, and mark those that are too weak or too strong.

    python experiments/wild/alone.py FOLDER OUTPUT [SPLIT..]

A LoRA that does not reach .9 is too weak if it scores best at weight 1.5, too strong if it scores best at weight .67;
where no weight helps it has learned something else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lorarar.datasets import Concept, Pair, load_concepts
from lorarar.diffusion import load_backbone
from lorarar.formats import load
from lorarar.lora import LoRA, input_weights, weight_loras
from lorarar.storage import EMBEDDED, read_card
from lorarar.worlds.stages import generate_and_score, load_classifier, truth_of

MANIFESTS = [EMBEDDED / "concepts.yaml", Path("data/wild/concepts.yaml")]
SEEDS, REACHED, BATCH = range(4), 0.9, 16
WEIGHTS = (1.0, 0.67, 1.5)  # the others are tried where 1 does not reach the bound


def main(folder: Path, output: Path, splits: Sequence[str]) -> None:
    """Score the LoRAs of a folder; write one line each."""
    torch.set_num_threads(1)
    names = sorted(path.stem for path in folder.glob("*.safetensors") if path.stem.startswith(tuple(splits)))
    concepts = load_concepts(MANIFESTS, EMBEDDED / "images")
    scores = score_alone(
        [concepts[name] for name in names], [load(folder / f"{n}.safetensors", EMBEDDED / "base") for n in names]
    )
    rows = [
        {"name": name, "recipe": read_card(folder / f"{name}.safetensors")["recipe_name"], **marked(values)}
        for name, values in zip(names, scores, strict=True)
    ]
    output.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shares = {mark: sum(row["mark"] == mark for row in rows) / len(rows) for mark in ("", "weak", "strong", "other")}
    print(f"{len(rows)} LoRAs, shares by mark: {shares}")


def score_alone(concepts: Sequence[Concept], loras: Sequence[LoRA]) -> list[dict[float, float]]:
    """Return the share of right attributes of each LoRA's own kind, by weight."""
    backbone = load_backbone(EMBEDDED / "base", device="cpu")
    classifier = load_classifier(EMBEDDED / "classifier.safetensors")
    partner = {kind: next(c for c in concepts if c.kind == kind) for kind in ("content", "style")}
    pairs = [Pair(c, partner["style"]) if c.kind == "content" else Pair(partner["content"], c) for c in concepts]
    truths = [truth_of(classifier.world, pair) for pair in pairs]
    scores: list[dict[float, float]] = [{} for _ in concepts]
    for weight in WEIGHTS:
        chosen = [i for i in range(len(concepts)) if scores[i].get(1.0, 0.0) < REACHED]
        for start in range(0, len(chosen), BATCH):
            part = chosen[start : start + BATCH]
            weighted = weight_loras(
                [loras[i] for i in part], input_weights([loras[i] for i in part], [weight] * len(part))
            )
            prompts = [concepts[i].captions[0] for i in part]
            found = generate_and_score(backbone, classifier, weighted, prompts, [truths[i] for i in part], SEEDS).scores
            for number, i in enumerate(part):
                scores[i][weight] = round(float(found[concepts[i].kind][number].mean()), 4)
    return scores


def marked(scores: dict[float, float]) -> dict[str, Any]:
    """Return the scores with a mark: "" for a LoRA that reaches the bound, else "weak", "strong" or "other"."""
    if scores[1.0] >= REACHED:
        return {"alone": scores, "mark": ""}
    best = max(WEIGHTS, key=lambda weight: scores[weight])  # of equal ones the first, 1
    return {"alone": scores, "mark": {1.5: "weak", 0.67: "strong", 1.0: "other"}[best]}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or ["train", "validation", "test"])
