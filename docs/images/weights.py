"""Picture of the artist's tutorial: three pairs of the embedded default, by weights and by the shipped network.

python docs/images/weights.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from lorarar import load
from lorarar.datasets import contact_sheet
from lorarar.diffusion import Sampling, load_backbone, sample_loras
from lorarar.mergers import MergeRequest, combine
from lorarar.storage import EMBEDDED, NETWORKS

PAIRS = {"tree": (3, 3), "heart": (7, 7), "cat": (0, 5)}  # prompt's word -> numbers of the content and of the style
REQUESTS = {
    "sum": MergeRequest(merger="direct"),
    "weights\n0.5,1": MergeRequest(merger="direct", weights=[0.5, 1]),
    "weights\n1,0.5": MergeRequest(merger="direct", weights=[1, 0.5]),
    "network": MergeRequest(network=NETWORKS / "hypernetwork.safetensors"),
}


def main(path: Path) -> None:
    """Draw the picture."""
    torch.manual_seed(0)
    backbone = load_backbone(EMBEDDED / "base")
    rows = []
    for word, numbers in PAIRS.items():
        names = [f"test_{kind}_{number:02}" for kind, number in zip(("content", "style"), numbers, strict=True)]
        loras = [load(EMBEDDED / "loras" / f"{name}.safetensors") for name in names]
        merged = [combine(loras, request).lora for request in REQUESTS.values()]
        prompts = [f"a sks {word}", *[f"a sks {word} in szn style"] * (1 + len(merged))]
        rows.append(sample_loras(backbone, [*loras, *merged], prompts, [0], Sampling(steps=15, guidance=2.5))[:, 0])
    columns = ["subject LoRA\nalone", "style LoRA\nalone", *REQUESTS]
    contact_sheet([list(row) for row in rows], path, columns=columns, rows=[f'"{word}"' for word in PAIRS])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
