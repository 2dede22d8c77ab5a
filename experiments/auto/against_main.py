"""Compare `auto` with optimised rows of the main table, image by image: the same pairs, base and noise seeds.

python experiments/auto/against_main.py

Both runs have the row `direct`: its scores must be equal, else the two cannot be compared.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.benchmark.quality.comparison import compare_rows
from lorarar.storage import write_json

HERE = Path(__file__).parent
MAIN, OUTPUT = HERE.parent / "main/results.json", HERE / "optimised/results.json"
ROWS = ("ZipLoRA, tuned", "ZipLoRA", "CAT")  # of one training seed each: raw scores give the joint score of an image
MARGIN = 0.05  # for 64 pairs, fixed before the run


def main() -> None:
    own, recorded = (json.loads(path.read_text()) for path in (HERE / "as_trained/results.json", MAIN))
    if not np.array_equal(joint(own["raw"]["direct"]), joint(recorded["raw"]["direct"])):
        raise SystemExit("expected equal scores of the row direct in both runs: run the main table again")
    raw = {"auto": own["raw"]["auto"]} | {name: first_seeds(recorded["raw"][name]) for name in ROWS}
    values = {name: joint(scores) for name, scores in raw.items()}
    found = [asdict(each) for each in compare_rows(values, [("auto", name) for name in ROWS], MARGIN)]
    results = {
        "seeds": own["seeds"],
        "pairs": own["pairs"],
        "methods": {name: {"joint": {"mean": round(float(scores.mean()), 6)}} for name, scores in values.items()},
        "compared": {"joint": found},
        "best_minus": {"joint": []},
        "equivalence_margin": MARGIN,
        "raw": raw,
    }
    OUTPUT.parent.mkdir(exist_ok=True)
    write_json(OUTPUT, results, indent=None)
    print(json.dumps([results["methods"], found], indent=1))


def first_seeds(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of each metric (contents, styles, seeds) at the first two noise seeds."""
    return {metric: np.array(raw[metric])[..., :2].tolist() for metric in ("content", "style", "strict")}


def joint(raw: dict[str, Any]) -> NDArray[np.float64]:
    """Return the smaller of the content and the style score of each image, at the first two noise seeds."""
    thirds = [np.round(np.array(raw[metric]) * 12) / 12 for metric in ("content", "style")]
    smaller: NDArray[np.float64] = np.minimum(*thirds)[..., :2]
    return smaller


if __name__ == "__main__":
    main()
