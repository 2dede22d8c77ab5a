"""Make what configs/benchmark/ablations.yaml and run.sh need: smaller splits, one prompt for all styles, other LoRAs.

python experiments/ablations/make.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import torch
import yaml

from lorarar.datasets import load_concepts, load_splits, seed_of
from lorarar.diffusion import load_backbone
from lorarar.formats import load, save
from lorarar.storage import load_config
from lorarar.training import Recipe, train_zoo
from lorarar.workflows import ZooConfig

HERE, DATA, RUNS = Path(__file__).parent, Path("data/embedded"), Path("runs/ablations")
FEW = (2, 4, 8, 16)
PROMPT = "a cat in szn style"
SCALES = (0.25, 0.5, 2.0, 4.0)
MIXED = (0.25, 0.5, 1.0, 2.0, 4.0)


def main() -> None:
    torch.set_num_threads(1)
    write_splits()
    write_one_prompt()
    recipe = load_config(ZooConfig, Path("configs/zoo/embedded.yaml")).recipe
    for name, changed in recipes(recipe).items():
        train(name, changed)
    for scale in SCALES:
        write_scaled(f"scale_x{scale:g}", dict.fromkeys(names_of("test"), scale))
    drawn = {name: MIXED[seed_of("scale", name) % len(MIXED)] for name in (*names_of("validation"), *names_of("test"))}
    write_scaled("scale_mixed", drawn)
    write_scaled("scale_mixed_normalised", {name: scale * normal(name, scale) for name, scale in drawn.items()})


def write_splits() -> None:
    """Write splits whose training part holds the first LoRAs of each kind; validation and test stay."""
    splits = load_splits(DATA / "concepts.yaml", "embedded")
    parts = {name: {kind: list(names) for kind, names in asdict(split).items()} for name, split in splits.items()}
    few = {
        f"first_{count}": parts | {"train": {kind: names[:count] for kind, names in parts["train"].items()}}
        for count in FEW
    }
    (HERE / "splits.yaml").write_text(yaml.safe_dump({"splits": few}, width=110))


def write_one_prompt() -> None:
    """Write the manifest as the release reads it: one default prompt conditions the steps of every training style."""
    manifest = yaml.safe_load((DATA / "concepts.yaml").read_text())
    for entry in manifest["concepts"]:
        if entry["name"].startswith("train_style"):
            entry["captions"] = [PROMPT] * len(entry["captions"])
    (HERE / "one_style_prompt.yaml").write_text(yaml.safe_dump({"concepts": manifest["concepts"]}, width=110))


def recipes(recipe: Recipe) -> dict[str, Recipe]:
    """Return the zoo's recipe with another rank (the scale alpha / rank stays), or with twice or half the steps."""
    ranks = {
        f"rank_{rank}": replace(recipe, rank=rank, alphas=tuple(a * rank / recipe.rank for a in recipe.alphas))
        for rank in (2, 4, 16)
    }
    return ranks | {f"steps_x{x:g}": replace(recipe, steps=round(recipe.steps * x)) for x in (0.5, 2.0)}


def names_of(split_name: str) -> list[str]:
    """Return the names of a split's concepts."""
    split = load_splits(DATA / "concepts.yaml", "embedded")[split_name]
    return [*split.contents, *split.styles]


def train(name: str, recipe: Recipe) -> None:
    """Train the test LoRAs by another recipe."""
    concepts = load_concepts([DATA / "concepts.yaml"], DATA / "images", names_of("test"))
    folder = RUNS / "loras" / name
    train_zoo(
        load_backbone(DATA / "base", device="cpu"),
        list(concepts.values()),
        recipe,
        folder=folder,
        runs=RUNS / "zoo" / name,
        group=16,
        checkpoint_every=50,
    )


def normal(name: str, scale: float) -> float:
    """Return the factor that brings a scaled LoRA to the mean length of the training LoRAs of its kind."""
    kind = name.split("_")[1]
    members = getattr(load_splits(DATA / "concepts.yaml", "embedded")["train"], f"{kind}s")
    return sum(map(length, members)) / len(members) / (scale * length(name))


@cache
def length(name: str) -> float:
    """Return the Frobenius norm of all deltas of a LoRA together."""
    layers = load(DATA / "loras" / f"{name}.safetensors").layers.values()
    return sum(float(delta.delta().float().square().sum()) for delta in layers) ** 0.5


def write_scaled(name: str, scales: Mapping[str, float]) -> None:
    """Write LoRAs with their alpha multiplied, each by its own number."""
    folder = RUNS / "loras" / name
    folder.mkdir(parents=True, exist_ok=True)
    for concept, scale in scales.items():
        lora = load(DATA / "loras" / f"{concept}.safetensors")
        layers = {layer: replace(delta, scale=delta.scale * scale) for layer, delta in lora.layers.items()}
        save(replace(lora, layers=layers), folder / f"{concept}.safetensors", force=True)


if __name__ == "__main__":
    main()
