"""Write the range of their training LoRAs into the headers of the shipped networks; their weights stay as they are.

    python experiments/extrapolation/state_ranges.py

`lorarar train` writes the same entry; the shipped networks were trained before it did. Cards get the new hashes.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from lorarar.hypernetwork import RANGE_KEY, load_network, observe_range, save_merger
from lorarar.storage import NETWORKS, card_path, load_config, sha256, write_json
from lorarar.training import load_loras, step_generator
from lorarar.workflows import TrainConfig

CONFIGS = {"hypernetwork": "embedded", "hypernetwork_paper": "embedded_paper", "constant": "embedded_constant"}
LORAS = Path("data/embedded/loras")
PAIRS = 100


def main() -> None:
    """State the ranges of all shipped networks."""
    names = sorted(path.stem for path in LORAS.glob("train_*.safetensors"))
    loras = load_loras(LORAS, names)
    pairs = [(loras[a], loras[b]) for a in names if "content" in a for b in names if "style" in b]
    order = torch.randperm(len(pairs), generator=step_generator("range"))[:PAIRS].tolist()
    for name, config in CONFIGS.items():
        path = NETWORKS / f"{name}.safetensors"
        network = load_network(path)
        jitter = load_config(TrainConfig, Path(f"configs/train/{config}.yaml"), []).weight_jitter
        found = observe_range(network.module, [pairs[i] for i in order], [network.metadata["base"]], jitter)
        metadata = {**network.metadata, RANGE_KEY: found.as_text()}
        save_merger(network.module, path, metadata, force=True)
        after = load_network(path)
        for key, tensor in network.module.state_dict().items():
            assert torch.equal(tensor, after.module.state_dict()[key]), f"{name}: the weights changed"
        card = json.loads(card_path(path).read_text())
        write_json(card_path(path), card | {RANGE_KEY: found.as_text(), "sha256": {path.name: sha256(path)}})
        print(name, found.as_text())


if __name__ == "__main__":
    main()
