"""Compare `auto`, our network and the text-guided row with the further rivals in the wild, image by image.

python experiments/claims/against_rivals.py

Both runs have the rows `auto` and `direct`: their scores must be equal, else the two cannot be compared.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lorarar.benchmark.quality.comparison import compare_rows
from lorarar.storage import write_json

HERE = Path(__file__).parent
OURS, SAME = ("auto", "our network", "text-guided, described"), ("auto", "direct")


def main() -> None:
    """Write joined/results.json."""
    wild, rivals = (json.loads((HERE / name / "results.json").read_text()) for name in ("wild", "rivals"))
    if wild["pairs"] != rivals["pairs"] or any(wild["raw"][name] != rivals["raw"][name] for name in SAME):
        raise SystemExit(f"expected equal pairs and scores of {SAME} in both runs: run both again")
    raw = {name: wild["raw"][name] for name in OURS}
    raw |= {name: scores for name, scores in rivals["raw"].items() if name not in SAME}
    values = {name: np.array(scores["joint"]).mean(0) for name, scores in raw.items()}
    pairs = [(first, second) for first in OURS for second in raw if second not in OURS]
    methods = wild["methods"] | rivals["methods"]
    results = {
        "seeds": wild["seeds"],
        "pairs": wild["pairs"],
        "methods": {name: {"joint": methods[name]["joint"]} for name in raw},
        "compared": {"joint": [asdict(each) for each in compare_rows(values, pairs, wild["equivalence_margin"])]},
        "best_minus": {"joint": []},
        "equivalence_margin": wild["equivalence_margin"],
        "raw": raw,
    }
    (HERE / "joined").mkdir(exist_ok=True)
    write_json(HERE / "joined/results.json", results, indent=None)
    for each in results["compared"]["joint"]:
        star = " *" if each["differs"] else ""
        print(
            f"{each['first']} - {each['second']}: {each['mean']:+.3f} [{each['low']:+.3f}, {each['high']:+.3f}]{star}"
        )


if __name__ == "__main__":
    main()
