"""Pictures of the comparison: content against style, and a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

from lorarar.benchmark.ceiling import true_renders
from lorarar.benchmark.quality.cells import read_cell_image
from lorarar.benchmark.quality.world import World
from lorarar.datasets import Pair, contact_sheet
from lorarar.storage import atomic_write

_FASTEST = 1e-3  # seconds; the colours begin here
_ALONE = ("base", "content", "style")  # may lie outside the frame, so that the others are told apart


def draw_pareto(record: Mapping[str, Any], times: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Content against style, rows numbered in the order of the legend; the colour tells the time to merge."""
    names = sorted(record["methods"], key=lambda name: -record["methods"][name]["joint"]["mean"])
    height = max(6.5, 0.24 * len(names))  # the legend has a line for each row
    figure, axes = plt.subplots(figsize=(11, height), layout="constrained")
    norm = LogNorm(_FASTEST, max([_FASTEST * 10, *(found["merge_seconds"] for found in times.values())]))
    for number, name in enumerate(names, 1):
        row, taken = record["methods"][name], times.get(name)
        x, y = row["content"], row["style"]
        colour = plt.get_cmap("viridis")(norm(max(_FASTEST, taken["merge_seconds"]))) if taken else "lightgrey"
        axes.errorbar(
            x["mean"],
            y["mean"],
            xerr=[[x["mean"] - x["low"]], [x["high"] - x["mean"]]],
            yerr=[[y["mean"] - y["low"]], [y["high"] - y["mean"]]],
            fmt="o",
            color=colour,
            ecolor="gainsboro",
            markeredgecolor="black",
            label=f"{number}  {name}  {row['joint']['mean']:.3f}",
        )
        axes.annotate(str(number), (x["mean"], y["mean"]), textcoords="offset points", xytext=(5, 4), fontsize=8)
    axes.set(xlabel="content", ylabel="style", title="By falling joint score; 95 % crossed intervals")
    rows = list(record["methods"].values())
    near = [row for row in rows if row["kind"] not in _ALONE] or rows
    axes.set_xlim(min(row["content"]["mean"] for row in near) - 0.02, 1.01)
    axes.set_ylim(min(row["style"]["mean"] for row in near) - 0.02, 1.01)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.4), fontsize=8, frameon=False)
    scale = plt.cm.ScalarMappable(norm, "viridis")
    label = "seconds to merge a pair (grey: nothing to merge)"
    figure.colorbar(scale, ax=axes, label=label, location="bottom", aspect=60, pad=0.02)
    with atomic_write(path, force=True) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    plt.close(figure)


def draw_contact_sheet(world: World, names: Mapping[str, Path], pairs: Sequence[Pair], path: Path) -> None:
    """The first seed's image of every row for some pairs, with the true render where there is one.

    Args:
        names: row -> the folder of its images.
    """
    cells = []
    for pair in pairs:
        true = [(true_renders(pair, [0])[0] + 1) / 2] if world.classifier else []
        images = [read_cell_image(folder / pair.name / f"{world.config.seeds[0]}.png") for folder in names.values()]
        cells.append([*true, *images])
    columns = [*(["true"] if world.classifier else []), *names]
    transposed = [[row[i] for row in cells] for i in range(len(columns))]
    contact_sheet(transposed, path, columns=[pair.name.replace("+", "\n") for pair in pairs], rows=columns, cell=72)


def diagonal(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs in which each content and each style occurs about once: the first with the first, and so on."""
    styles = len({pair.style.name for pair in pairs})
    return [pair for i, pair in enumerate(pairs) if i // styles % styles == i % styles]
