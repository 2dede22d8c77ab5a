"""Draw growth.svg from results.json: seconds against each size, with the fitted lines and exponents.

python experiments/growth/picture.py
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, NullLocator

from lorarar.evaluation.metrics.plots import PALETTE

HERE = Path(__file__).parent


def draw() -> Figure:
    """Return one panel for each size that grows."""
    growth = json.loads((HERE / "results.json").read_text(encoding="utf-8"))["growth"]
    colours = dict(zip(dict.fromkeys(kind for kinds in growth.values() for kind in kinds), PALETTE, strict=False))
    figure = Figure(figsize=(4 * len(growth), 4), layout="constrained")
    for axis, (what, kinds) in zip(figure.subplots(1, len(growth)), growth.items(), strict=True):
        for kind, entry in kinds.items():
            sizes = [int(size) for size in entry["seconds"]]
            line = [entry["seconds_at_1"] * size ** entry["exponent"] for size in sizes]
            axis.loglog(sizes, list(entry["seconds"].values()), "o", color=colours[kind])
            axis.loglog(sizes, line, color=colours[kind], label=f"{kind}: {entry['exponent']:.2f}")
        axis.set_xlabel(what)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_minor_formatter(LogFormatterSciNotation(minor_thresholds=(1, 0.4)))  # labels within a decade
        axis.legend(fontsize=8)
    figure.axes[0].set_ylabel("processor seconds; the exponent beside each")
    return figure


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    draw().savefig(HERE / "growth.svg", metadata={"Date": None})
