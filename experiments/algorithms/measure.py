"""Algorithms of LoRA training on the embedded base: what each personalises alone, its file size and its throughput.

    python experiments/algorithms/measure.py [ALGORITHM..]

Cells that are in results.jsonl are kept, so a stopped run goes on. LoRAs go to runs/algorithms.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lycoris_training import library_training

from lorarar.datasets import Concept, Pair, load_concepts
from lorarar.diffusion import Backbone, load_backbone
from lorarar.evaluation.statistics import crossed_interval
from lorarar.formats import load
from lorarar.storage import EMBEDDED
from lorarar.training import Recipe, ZooTraining, train_zoo
from lorarar.worlds.stages import generate_and_score, load_classifier, truth_of

HERE, RUNS = Path("experiments/algorithms"), Path("runs/algorithms")
RESULTS = HERE / "results.jsonl"
RECIPE = Recipe(rank=8, alphas=(8,), steps=100, images=4, learning_rate=1.5e-3)
SETTINGS: dict[str, dict[str, Any]] = {
    "LoRA": {},
    "LoCon": {"algorithm": "locon", "preset": "full"},
    "LoHa": {"algorithm": "loha"},
    "LoKr, factor 8": {"algorithm": "lokr", "factor": 8},
    "LoKr, full": {"algorithm": "lokr", "factor": 8, "full_matrix": True},
    "DoRA": {"algorithm": "dora"},
    "IA3": {"algorithm": "ia3"},
    "Diag-OFT": {"algorithm": "diag-oft"},
    "BOFT": {"algorithm": "boft", "rank": 18},  # blocks of 10 and 18: the base's 80 and 144 rows have no smaller ones
    "GLoRA": {"algorithm": "glora"},
    "full": {"algorithm": "full"},
}
RATES = (1.5e-3, 5e-3)
# The rate is chosen on training concepts; the numbers are of others.
TRIED = ["train_content_00", "train_style_00"]
MEASURED = [f"validation_{kind}_{i:02d}" for kind in ("content", "style") for i in range(4)]
SEEDS = range(4)
GROUP, TIMED_STEPS, ROUNDS = 8, 2, 3


def main(chosen: Sequence[str]) -> None:
    """Measure every chosen algorithm that is not in the results yet."""
    torch.set_num_threads(1)
    done = {row["algorithm"] for row in rows()}
    for name in chosen:
        if name not in done:
            row = {"algorithm": name, **personalisation(name), **throughput(name)}
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    write_table()


def rows() -> list[dict[str, Any]]:
    """Return the results so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def personalisation(name: str) -> dict[str, Any]:
    """Choose the rate on training concepts, then train and score the measured ones."""
    tried = {}
    for rate in RATES:
        recipe = replace(RECIPE, **SETTINGS[name], learning_rate=rate)
        scores = trained_scores(TRIED, recipe, RUNS / name / f"tried_{rate:g}")[0]
        tried[f"{rate:g}"] = round(float(np.mean([scores[concept].mean() for concept in TRIED])), 4)
    best = max(tried, key=tried.__getitem__)
    recipe = replace(RECIPE, **SETTINGS[name], learning_rate=float(best))
    scores, size = trained_scores(MEASURED, recipe, RUNS / name / "measured")
    row: dict[str, Any] = {"rate": float(best), "tried": tried, "bytes": size, "parameters": parameters_of(recipe)}
    for kind in ("content", "style"):
        table = np.stack([scores[concept] for concept in MEASURED if kind in concept])
        estimate = crossed_interval(table[:, None, :], shares=True)
        row[kind] = [round(value, 4) for value in (estimate.mean, estimate.low, estimate.high)]
    return row


def trained_scores(names: Sequence[str], recipe: Recipe, folder: Path) -> tuple[dict[str, np.ndarray], int]:
    """Train LoRAs, sample each at its own prompt; return the share of right attributes by name, and a file's bytes."""
    backbone, concepts = load_backbone(str(EMBEDDED / "base"), device="cpu"), concepts_of(names)
    paths = train_zoo(
        backbone,
        list(concepts.values()),
        recipe,
        folder=folder,
        runs=RUNS / "checkpoints",
        group=GROUP,
        checkpoint_every=1000,
    )
    classifier = load_classifier(EMBEDDED / "classifier.safetensors")
    partners = concepts_of([names[0], names[-1]])
    content, style = partners.values()
    pairs = [Pair(c, style) if c.kind == "content" else Pair(content, c) for c in concepts.values()]
    loras = [load(path, EMBEDDED / "base") for path in paths]
    truths = [truth_of(classifier.world, pair) for pair in pairs]
    prompts = [concept.captions[0] for concept in concepts.values()]
    found = generate_and_score(backbone, classifier, loras, prompts, truths, SEEDS).scores
    scores = {c.name: found[c.kind][number].numpy() for number, c in enumerate(concepts.values())}
    return scores, paths[0].stat().st_size


def parameters_of(recipe: Recipe) -> int:
    """Return the numbers that one LoRA trains."""
    backbone = load_backbone(str(EMBEDDED / "base"), device="cpu")
    [concept] = concepts_of(MEASURED[:1]).values()
    return sum(parameter.numel() for parameter in ZooTraining(backbone, [concept], recipe).parameters())


def throughput(name: str) -> dict[str, Any]:
    """Measure steps of one LoRA by LyCORIS, of one by us and of eight by us, in turn."""
    recipe, concepts = replace(RECIPE, **SETTINGS[name]), list(concepts_of(MEASURED).values())
    fresh = lambda: load_backbone(str(EMBEDDED / "base"), device="cpu")  # noqa: E731
    steps = {
        "library": library_training(fresh(), concepts[0], recipe),
        "alone": own_training(fresh(), concepts[:1], recipe),
        "together": own_training(fresh(), concepts[:GROUP], recipe),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in steps}
    for _ in range(ROUNDS + 1):
        for kind, step in steps.items():
            start = time.perf_counter()
            for _ in range(TIMED_STEPS):
                step()
            seconds[kind].append(time.perf_counter() - start)
    median = {kind: float(np.median(values[1:])) for kind, values in seconds.items()}  # the first does not count
    return {
        "library_over_alone": round(median["library"] / median["alone"], 3),
        "library_over_batch": round(GROUP * median["library"] / median["together"], 3),
        "alone_over_batch": round(GROUP * median["alone"] / median["together"], 3),
    }


def own_training(backbone: Backbone, concepts: Sequence[Concept], recipe: Recipe) -> Callable[[], None]:
    """Return a step of our training without a trainer around it."""
    module: Any = ZooTraining(backbone, concepts, recipe)
    optimiser = module.configure_optimizers()
    module.optimizers = lambda: optimiser
    module.manual_backward = lambda loss: loss.backward()
    module.log = lambda *_, **__: None
    return lambda: module.training_step(0, 0)


def concepts_of(names: Sequence[str]) -> dict[str, Concept]:
    """Return concepts of the embedded default, in this order."""
    concepts = load_concepts([EMBEDDED / "concepts.yaml"], EMBEDDED / "images", names)
    return {name: concepts[name] for name in names}


def write_table() -> None:
    """Write table.md."""
    titles = ("algorithm", "rate", "numbers", "file, kB", "content alone", "style alone", "ours / library", "8 / 1")
    lines = [f"| {' | '.join(titles)} |"]
    lines.append("|---" * len(titles) + "|")
    for row in rows():
        shares = [f"{row[k][0]:.3f} ({row[k][1]:.2f} to {row[k][2]:.2f})" for k in ("content", "style")]
        ratios = [f"{row[k]:.2f}" for k in ("library_over_alone", "alone_over_batch")]
        cells = [row["algorithm"], f"{row['rate']:g}", f"{row['parameters']:,}", f"{row['bytes'] / 1000:.0f}"]
        lines.append("| " + " | ".join([*cells, *shares, *ratios]) + " |")
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    (HERE / "recipe.json").write_text(json.dumps(asdict(RECIPE), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(SETTINGS))
