"""Error of the randomised range finder against the truncated SVD's, on a layer of two pruned LoRAs of rank 64.

    python experiments/merge/truncation.py > experiments/merge/truncation.json

"flat" LoRAs have equal singular values, as random factors do; those of "falling" ones fall like 1 / k. Seeds 0 and 1.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from lorarar.benchmark.speed.synthetic import random_lora
from lorarar.lora import Dense, LowRank, compress_layer
from lorarar.mergers import MERGERS

SIDE, RANK = 1280, 64


def measure() -> list[dict[str, object]]:
    """Return the relative errors and processor seconds of both, for each merger, kind of LoRA and rank."""
    flat = [random_lora({"layer": (SIDE, SIDE)}, RANK, seed).layers["layer"] for seed in (0, 1)]
    falling = [LowRank(f.B.float() / (1 + torch.arange(RANK)), f.A.float()) for f in flat]
    rows: list[dict[str, object]] = []
    for name, pair in (("flat", flat), ("falling", falling)):
        down = torch.cat([f.A.float() for f in pair])
        for merger in ("ties", "dare", "della_linear"):
            info = MERGERS[merger]
            layer = info.call(pair, layer="layer", **info.settings({}))
            assert isinstance(layer, Dense)
            start = time.process_time()
            s = torch.linalg.svd(layer.tensor, full_matrices=False).S
            svd_seconds = time.process_time() - start
            for rank, basis in ((2 * RANK, down), (RANK, None)):
                start = time.process_time()
                loss = compress_layer(layer, rank, basis)[1]
                seconds = time.process_time() - start
                best = float(s[rank:].norm() / s.norm())
                excess = loss.relative / best - 1
                rows.append(
                    {"loras": name, "merger": merger, "rank": rank, "svd_error": best, "excess": excess}
                    | {"times_faster": svd_seconds / seconds}
                )
    return rows


if __name__ == "__main__":
    with torch.no_grad():
        json.dump(measure(), sys.stdout, indent=1)
