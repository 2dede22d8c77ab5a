"""Write the validation and test LoRAs with mixed strengths: each alpha multiplied by 1/4 to 4, drawn by the name.

python experiments/auto/mixed.py
"""

from __future__ import annotations

from pathlib import Path

import torch
from candidates import DATA, MIXED, scaled

from lorarar.datasets import load_splits, seed_of
from lorarar.formats import load, save

OUTPUT = Path("runs/auto/mixed")

if __name__ == "__main__":
    OUTPUT.mkdir(parents=True, exist_ok=True)
    splits = load_splits(DATA / "concepts.yaml", "embedded")
    for name in (name for part in ("validation", "test") for name in (*splits[part].contents, *splits[part].styles)):
        lora = scaled(load(DATA / "loras" / f"{name}.safetensors"), MIXED[seed_of("scale", name) % len(MIXED)])
        save(lora, OUTPUT / f"{name}.safetensors", dtype=torch.float32, metadata=lora.metadata, force=True)
