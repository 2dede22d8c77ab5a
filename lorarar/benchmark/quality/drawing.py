"""Pictures of the comparison: content against style, and a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from lorarar.benchmark.quality.cells import read_cell_image
from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.benchmark.quality.results import MergeCost, QualityResults, RowResult
from lorarar.datasets import Pair, contact_sheet
from lorarar.storage import atomic_write
from lorarar.worlds.stages import true_renders

_FASTEST = 1e-3  # seconds; the colours begin here
_ALONE = ("base", "content", "style")  # may lie outside the frame, so that the others can be distinguished


def draw_pareto(results: QualityResults, times: Mapping[str, MergeCost], path: Path) -> None:
    """Draw content against style, rows numbered in the order of the legend; the colour shows the time to merge."""
    names = sorted(results.methods, key=lambda name: -results.methods[name].joint.mean)
    height = max(6.5, 0.24 * len(names))  # the legend has a line for each row
    figure = Figure(figsize=(11, height), layout="constrained")
    axes = figure.add_subplot()
    norm = LogNorm(_FASTEST, max([_FASTEST * 10, *(cost.merge_seconds for cost in times.values())]))
    colours = colormaps["viridis"]
    for number, name in enumerate(names, 1):
        cost = times.get(name)
        colour = colours(norm(max(_FASTEST, cost.merge_seconds))) if cost else "lightgrey"
        _draw_row(axes, results.methods[name], number, name, colour)
    axes.set(xlabel="content", ylabel="style", title="By falling joint score; 95 % crossed intervals")
    _frame(axes, list(results.methods.values()))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.4), fontsize=8, frameon=False)
    label = "seconds to merge a pair (grey: nothing to merge)"
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label=label, location="bottom", aspect=60, pad=0.02)
    with atomic_write(path, force=True) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_row(
    axes: Axes, row: RowResult, number: int, name: str, colour: str | tuple[float, float, float, float]
) -> None:
    x, y = row.content, row.style
    axes.errorbar(
        x.mean,
        y.mean,
        xerr=[[x.mean - x.low], [x.high - x.mean]],
        yerr=[[y.mean - y.low], [y.high - y.mean]],
        fmt="o",
        color=colour,
        ecolor="gainsboro",
        markeredgecolor="black",
        label=f"{number}  {name}  {row.joint.mean:.3f}",
    )
    axes.annotate(str(number), (x.mean, y.mean), textcoords="offset points", xytext=(5, 4), fontsize=8)


def _frame(axes: Axes, rows: Sequence[RowResult]) -> None:
    """Frame the rows that merge, so that they can be distinguished."""
    merging = [row for row in rows if row.kind not in _ALONE] or rows
    axes.set_xlim(min(row.content.mean for row in merging) - 0.02, 1.01)
    axes.set_ylim(min(row.style.mean for row in merging) - 0.02, 1.01)


def draw_contact_sheet(inputs: QualityInputs, folders: Mapping[str, Path], pairs: Sequence[Pair], path: Path) -> None:
    """Draw the first seed's image of every row for some pairs, below the true render where there is one.

    Args:
        folders: row -> the folder of its images.
    """
    rows = {}
    if inputs.classifier:
        rows["true"] = [(true_renders(inputs.classifier.world, pair, [0])[0] + 1) / 2 for pair in pairs]
    for name, folder in folders.items():
        rows[name] = [read_cell_image(folder / pair.name / f"{inputs.config.seeds[0]}.png") for pair in pairs]
    columns = [pair.name.replace("+", "\n") for pair in pairs]
    contact_sheet(list(rows.values()), path, columns=columns, rows=list(rows), cell=72)


def diagonal(pairs: Sequence[Pair]) -> list[Pair]:
    """Return pairs in which each content and each style occurs about once: the first with the first, and so on."""
    styles = len({pair.style.name for pair in pairs})
    return [pair for i, pair in enumerate(pairs) if i // styles % styles == i % styles]
