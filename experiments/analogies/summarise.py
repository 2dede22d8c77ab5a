"""Means and differences over all training seeds: writes summary.json and summary.png from results.json.

python experiments/analogies/summarise.py

A row that was trained with several seeds, "one LoRA" and "one LoRA, seed 1", is one here; transformations and seeds are
random factors of its interval. Differences are the basis minus a row, at the seeds that both have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.metrics.plots import PALETTE
from lorarar.evaluation.statistics import Estimate, crossed_interval, paired_interval
from lorarar.storage import write_json

matplotlib.use("agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
REFERENCE = "basis"
SCORES = ("accuracy", "preservation", "exact")
PARTS = {"types": "held-out types", "compositions": "compositions", "values": "held-out values", "seen": "seen"}
COLOURS = dict(zip(PARTS, PALETTE, strict=False))


def by_seed(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each method, one for each training seed, without those that know no transformation."""
    seeds: dict[str, list[dict[str, Any]]] = {}
    for name, row in rows.items():
        if "transformations" in row:
            seeds.setdefault(name.partition(", seed ")[0], []).append(row["transformations"])
    return seeds


def values(seeds: list[dict[str, Any]], names: list[str], score: str) -> NDArray[np.float64]:
    """Return a score (transformations, 1, seeds)."""
    return np.array([[[row[name][score] for row in seeds]] for name in names])


def numbers(estimate: Estimate) -> dict[str, float]:
    """Return an estimate as plain data."""
    return {name: round(float(getattr(estimate, name)), 4) for name in ("mean", "low", "high")}


def summarise(parts: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return each method's scores and the differences of the reference to it, by part of the test."""
    means: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for part, rows in parts.items():
        seeds = by_seed(rows)
        for name, own in seeds.items():
            known = list(own[0])
            scores = {s: numbers(crossed_interval(values(own, known, s), shares=True)) for s in SCORES}
            means.setdefault(part, {})[name] = {"transformations": len(known), "seeds": len(own), **scores}
            if name != REFERENCE:
                both = min(len(own), len(seeds[REFERENCE]))
                pairs = {s: (values(seeds[REFERENCE][:both], known, s), values(own[:both], known, s)) for s in SCORES}
                compared = {s: numbers(paired_interval(*pair)) for s, pair in pairs.items()}
                differences.setdefault(part, {})[name] = {"seeds": both, **compared}
    return {"means": means, "differences": differences}


def draw(summary: Mapping[str, Any]) -> plt.Figure:
    """Draw the basis minus every trained row, accuracy and preservation, one colour for each part."""
    trained = [name for name in summary["differences"]["seen"] if name not in ("truth", "copy of b", "copy of a'")]
    figure, axes = plt.subplots(1, 2, figsize=(12, 0.9 * len(trained) + 1), sharey=True, layout="constrained")
    for axis, score in zip(axes, SCORES, strict=False):
        for i, part in enumerate(PARTS):
            for height, name in enumerate(reversed(trained)):
                row = summary["differences"][part].get(name)
                if row:
                    y = height + 0.27 - 0.18 * i
                    axis.plot([row[score]["low"], row[score]["high"]], [y, y], color=COLOURS[part], lw=2)
                    axis.plot(row[score]["mean"], y, "o", color=COLOURS[part], ms=5)
        axis.axvline(0, color="black", lw=0.8)
        axis.set_title(score, loc="left")
        axis.set_xlabel("basis minus this row; above 0: the basis is better")
    axes[0].set_yticks(range(len(trained)), list(reversed(trained)))
    handles = [plt.Line2D([], [], color=colour, marker="o") for colour in COLOURS.values()]
    figure.legend(handles, list(PARTS.values()), loc="outside upper right", ncols=len(PARTS))
    return figure


def main() -> None:
    """Write summary.json and summary.png."""
    summary = summarise(json.loads((HERE / "results.json").read_text(encoding="utf-8"))["parts"])
    write_json(HERE / "summary.json", summary)
    draw(summary).savefig(HERE / "summary.png", dpi=110)


if __name__ == "__main__":
    main()
