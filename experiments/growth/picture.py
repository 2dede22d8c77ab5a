"""Draw growth.svg from results.json: seconds against each size, with the fitted lines and exponents.

python experiments/growth/picture.py
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from lorarar.evaluation.metrics.plots import PALETTE

HERE = Path(__file__).parent


def draw() -> Figure:
    """Return one panel for each size that grows."""
    growth = json.loads((HERE / "results.json").read_text(encoding="utf-8"))["growth"]
    figure = Figure(figsize=(4 * len(growth), 4), layout="constrained")
    for axis, (what, kinds) in zip(figure.subplots(1, len(growth)), growth.items(), strict=True):
        for colour, (kind, entry) in zip(PALETTE, kinds.items(), strict=False):
            sizes = [int(size) for size in entry["seconds"]]
            line = [entry["seconds_at_1"] * size ** entry["exponent"] for size in sizes]
            axis.loglog(sizes, list(entry["seconds"].values()), "o", color=colour)
            axis.loglog(sizes, line, color=colour, label=f"{kind}: {entry['exponent']:.2f}")
        axis.set_xlabel(what)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        axis.legend(fontsize=8)
    figure.axes[0].set_ylabel("processor seconds; the exponent beside each")
    return figure


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    draw().savefig(HERE / "growth.svg", metadata={"Date": None})
