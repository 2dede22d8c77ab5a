"""Time closed-form mergers on two LoRAs of SDXL's size, beside the sum, in one process on one thread.

python experiments/rivals/timing.py [RANK]

All attention layers of SDXL's UNet, random factors. Each method merges the same pair, the sum before each and after the
last; the ratio is the method's CPU time to the median of the sums'. Writes timing.json beside this file.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from lorarar.benchmark.speed.synthetic import synthetic_lora
from lorarar.mergers import MergeRequest, combine

METHODS = {
    "np_lora": MergeRequest(merger="np_lora"),
    "knots": MergeRequest(merger="knots"),
    "tsv_m": MergeRequest(merger="tsv_m"),
    "iso_c": MergeRequest(merger="iso_c"),
    "iso_cts": MergeRequest(merger="iso_cts"),
    "fixed_blocks": MergeRequest(merger="fixed_blocks"),
    "direct, svc": MergeRequest(merger="direct", svc=0.5),
}
DIRECT = MergeRequest(merger="direct")


def main() -> None:
    rank = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    loras = [synthetic_lora("sdxl", rank, seed) for seed in (0, 1)]

    def seconds(request: MergeRequest) -> float:
        start = time.process_time()
        combine(loras, request)
        return time.process_time() - start

    seconds(DIRECT)  # warm
    direct, found = [], {}
    for name, request in METHODS.items():
        direct.append(seconds(DIRECT))
        found[name] = seconds(request)
    direct.append(seconds(DIRECT))
    base = statistics.median(direct)
    result = {
        "rank": rank,
        "layers": len(loras[0].layers),
        "direct_spread": round(max(direct) / min(direct), 2),
        "times_direct": {name: float(f"{value / base:.3g}") for name, value in found.items()},
    }
    Path(__file__).with_name("timing.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
