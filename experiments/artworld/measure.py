"""Measure the parts of the art world that are made: classifier, autoencoder, base. Write results.json and pictures.

python experiments/artworld/measure.py
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import torch

from lorarar.datasets import save_image, tile_images
from lorarar.storage import load_config, read_card, write_json
from lorarar.worlds import world_named
from lorarar.worlds.stages import (
    WorldClassifier,
    WorldConfig,
    held_out_renders,
    load_classifier,
    reconstruct_images,
)

HERE = Path(__file__).parent
COLUMNS, ROWS = 16, 4


def main() -> None:
    config = load_config(WorldConfig, Path("configs/world/art.yaml"))
    path = config.output / "classifier.safetensors"
    results: dict[str, Any] = {"date": datetime.date.today().isoformat()}
    classifier = None
    if path.is_file():
        card = read_card(path)
        results["classifier"] = {key: value for key, value in card.items() if key not in ("sha256", "what")}
        classifier = load_classifier(path)
    results["autoencoder"] = autoencoder(config.runs / "autoencoder" / "vae", classifier)
    samples = config.runs / "base" / "samples"
    if samples.is_dir():
        results["base"] = [json.loads(line) for line in (samples / "samples.jsonl").read_text().splitlines()]
        (HERE / "samples.png").write_bytes(max(samples.glob("*.png")).read_bytes())
    write_json(HERE / "results.json", results)
    print(json.dumps(results, indent=1))


@torch.no_grad()
def autoencoder(folder: Path, classifier: WorldClassifier | None) -> dict[str, float]:
    """Return the peak signal-to-noise ratio on test renders, and what the classifier loses; draw some of them."""
    images, true = held_out_renders(world_named("art"))
    rebuilt = reconstruct_images(folder, images)
    error = (rebuilt - images).square().mean(dim=(1, 2, 3))
    chosen = torch.linspace(0, len(images) - 1, COLUMNS * ROWS).long()
    rows = [part for block in chosen.split(COLUMNS) for part in (images[block], rebuilt[block])]
    save_image(tile_images(torch.cat(rows) / 2 + 0.5, COLUMNS), HERE / "reconstructions.png")
    results = {"decibel": round(float(10 * torch.log10(4 / error.mean())), 2)}
    if classifier is not None:
        for name, part in (("true", images), ("reconstructed", rebuilt)):
            scores = classifier.score(part, true)
            results |= {f"{name}_{key}": round(float(scores[key].mean()), 4) for key in ("content", "style", "joint")}
    return results


if __name__ == "__main__":
    main()
