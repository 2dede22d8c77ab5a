"""Measure our network at SDXL's size beside the paper's: coefficients of two random rank-64 LoRAs, and the merge.

    python experiments/any_width/cost.py

One thread, the networks in turn, medians of 7. The results go to cost.json.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import torch

from lorarar.benchmark.speed import synthetic_lora
from lorarar.hypernetwork import LayerwiseConfig, LayerwiseHypernetwork, PaperConfig, PaperHypernetwork
from lorarar.lora import merge_exactly

ROUNDS = 7


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loras = [synthetic_lora("sdxl", 64, seed) for seed in (0, 1)]
    networks = {"paper": PaperHypernetwork(PaperConfig()), "ours": LayerwiseHypernetwork(LayerwiseConfig())}
    seconds: dict[str, dict[str, list[float]]] = {name: {"coefficients": [], "merge": []} for name in networks}
    for round_ in range(ROUNDS + 1):
        for name, network in networks.items():
            start = time.perf_counter()
            coefficients = network(loras)
            between = time.perf_counter()
            merged = merge_exactly(loras, coefficients)
            if round_:  # the first warms up
                seconds[name]["coefficients"].append(between - start)
                seconds[name]["merge"].append(time.perf_counter() - start)
            assert len(merged.layers) == 560
            del merged
    medians = {
        name: {what: statistics.median(times) for what, times in parts.items()} for name, parts in seconds.items()
    }
    ratios = {what: medians["ours"][what] / medians["paper"][what] for what in ("coefficients", "merge")}
    record = {"median_seconds": medians, "ours_over_paper": ratios, "seconds": seconds, "layers": 560, "rank": 64}
    Path(__file__).with_name("cost.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({"median_seconds": medians, "ours_over_paper": ratios}, indent=1))


if __name__ == "__main__":
    main()
