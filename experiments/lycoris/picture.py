"""Draw summary.png from summary.json: each algorithm's mean rank beside the paper's, and the statements' differences.

python experiments/lycoris/picture.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

from lorarar.evaluation.metrics.plots import PALETTE

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

HERE = Path(__file__).parent
BLUE, RED, GREEN, *_ = PALETTE
VERDICTS = {"confirmed": GREEN, "contradicted": RED, "undecided": "#59636e"}


def draw_interval(axis: Axes, height: int, row: Mapping[str, Any], colour: str) -> None:
    """Draw a mean with its interval."""
    axis.plot([row["low"], row["high"]], [height, height], color=colour, lw=2)
    axis.plot(row["mean"], height, "o", color=colour)


def draw_criterion(axis: Axes, criterion: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the algorithms' mean ranks; the paper's order, worst to best, stands at five even steps."""
    for height, row in enumerate(reversed(rows.values())):
        draw_interval(axis, height, row, BLUE)
        axis.plot((row["paper"] - 0.5) / 5, height, "d", color=RED, mfc="none", ms=8)
        axis.annotate(f"{row['rank']} | {row['paper']}", (1.02, height), annotation_clip=False, va="center")
    axis.set_yticks(range(len(rows)), list(reversed(rows)))
    axis.set_xlim(0, 1)
    axis.set_title(f"{criterion}\n", loc="left")
    axis.annotate("here | paper", (1.02, len(rows) - 0.4), annotation_clip=False, fontsize=8)
    axis.set_xlabel("mean normalised rank, 1 is best")


def draw_statements(axis: Axes, rows: list[Mapping[str, Any]]) -> None:
    """Draw the difference of ranks of each statement."""
    for height, row in enumerate(reversed(rows)):
        draw_interval(axis, height, row, VERDICTS[row["verdict"]])
    axis.axvline(0, color="black", lw=0.8)
    axis.set_yticks(range(len(rows)), [row["statement"] for row in reversed(rows)])
    axis.set_title("the paper's statements", loc="left")
    axis.set_xlabel("difference of mean ranks; above 0: as the paper says")
    axis.legend(
        [plt.Line2D([], [], color=colour, marker="o") for colour in VERDICTS.values()], list(VERDICTS), frameon=False
    )


def main() -> None:
    """Write summary.png."""
    summary = json.loads((HERE / "summary.json").read_text())
    figure, axes = plt.subplot_mosaic("abc\nddd", figsize=(12, 7), layout="constrained")
    for letter, criterion in zip("abc", ("fidelity", "controllability", "diversity"), strict=True):
        draw_criterion(axes[letter], criterion, summary["algorithms"][criterion])
        axes[letter].tick_params(labelleft=letter == "a")
    draw_statements(axes["d"], summary["statements"])
    handles = [plt.Line2D([], [], color=BLUE, marker="o"), plt.Line2D([], [], color=RED, marker="d", mfc="none", lw=0)]
    figure.legend(handles, ["here, 95 % interval", "the paper's order"], loc="outside upper right", ncols=2)
    figure.savefig(HERE / "summary.png", dpi=110)


if __name__ == "__main__":
    main()
