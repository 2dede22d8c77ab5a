"""The hypernetwork's spread over training seeds, on the test pairs: seed 0 is the shipped one.

lorarar train configs/train/embedded.yaml seed=1 runs=runs/train/seed1     (and 2)
python experiments/main/seeds.py
"""

from __future__ import annotations

import json
from pathlib import Path

from lorarar.benchmark.embedded import load_embedded
from lorarar.benchmark.methods import run_method, summarise
from lorarar.mergers.files import load_merger

FILES = {
    0: Path("data/embedded/mergers/hypernetwork.safetensors"),
    1: Path("runs/train/seed1/merger.safetensors"),
    2: Path("runs/train/seed2/merger.safetensors"),
}


def main() -> None:
    embedded = load_embedded(["test"])
    scorer = embedded.scorer("test", range(4))
    found = {
        seed: summarise(run_method(scorer, load_merger(path)).scored.scores, embedded, "test")
        for seed, path in FILES.items()
    }
    Path("experiments/main/seeds.json").write_text(json.dumps(found, indent=1) + "\n")
    print({seed: (scores["joint"], scores["strict"]) for seed, scores in found.items()})


if __name__ == "__main__":
    main()
