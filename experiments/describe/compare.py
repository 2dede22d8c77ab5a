"""Compare the run with rows that experiments/main recorded for the same pairs and noise seeds: writes compared.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.benchmark.quality.comparison import compare_rows
from lorarar.storage import write_json

FOLDER = Path(__file__).parent
RECORDED = ("ZipLoRA, tuned", "our network", "our network, then words")
DESCRIBED = "text-guided, described"


def main() -> None:
    run = json.loads((FOLDER / "results.json").read_text())
    main_table = json.loads((FOLDER.parent / "main" / "results.json").read_text())
    assert (run["pairs"], run["seeds"]) == (main_table["pairs"], main_table["seeds"][: len(run["seeds"])])
    compared: dict[str, Any] = {}
    for metric in ("joint", "strict"):
        values = {name: scores(run, name, metric) for name in run["raw"]}
        values |= {f"{name} (recorded)": scores(main_table, name, metric, len(run["seeds"])) for name in RECORDED}
        pairs = [(DESCRIBED, f"{name} (recorded)") for name in RECORDED]
        compared[metric] = {
            "means": {name: round(float(array.mean()), 4) for name, array in values.items()},
            "compared": [vars(row) for row in compare_rows(values, pairs)],
        }
    write_json(FOLDER / "compared.json", compared)
    print(json.dumps(compared, indent=1))


def scores(results: dict[str, Any], name: str, metric: str, seeds: int | None = None) -> NDArray[np.float64]:
    """Return the scores (contents, styles, noise seeds) of a row; "joint" is the smaller of an image's two."""
    raw = {key: np.array(values) for key, values in results["raw"][name].items()}
    array = raw["strict"] if metric == "strict" else np.minimum(raw["content"], raw["style"])
    return array[..., :seeds]


if __name__ == "__main__":
    main()
