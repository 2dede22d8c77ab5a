"""Export of a report's numbers: results.csv with a row for each image, and results.tex with the scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lorarar.datasets import AXES
from lorarar.evaluation.judge.compare.results import Results, Score
from lorarar.evaluation.judge.read.scores import IMAGE_METRICS, ImageScore
from lorarar.evaluation.judge.report.tables import by_rank

_COLUMNS = {"mars2": "MARS2", "content": "content", "style": "style", "best": "best case"}
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def image_rows(images: Sequence[ImageScore]) -> Iterator[list[str | int | float | None]]:
    """Yield the rows of results.csv, the header first."""
    header = ["item", "path", "method", "content", "style", "seed", "prompt_type"]
    header += [f"{axis}_{name}" for axis in AXES for name in ("yes", "decided", "asked")]
    yield [*header, *IMAGE_METRICS]
    for image in images:
        item = image.item
        row: list[str | int | float | None] = [item.id, item.path, item.method, item.content, item.style, item.seed]
        row.append(item.prompt_type)
        for score in (image.axes[axis] for axis in AXES):
            row += [score.yes, score.counts.ok, score.counts.total]
        row += [metric(image).value for metric in IMAGE_METRICS.values()]
        yield row


def latex_table(results: Results) -> str:
    """Return the scores of all methods as a LaTeX table; methods not told apart from the best are bold."""
    group = results.groups[0]
    lines = [
        f"% {escape_latex(group.covers)}",
        "% Means with 95 % intervals; bold: not told apart from the best on this column. Needs \\usepackage{booktabs}.",
        f"\\begin{{tabular}}{{l{'c' * len(_COLUMNS)}}}",
        "\\toprule",
        f"method & {' & '.join(_COLUMNS.values())} \\\\",
        "\\midrule",
    ]
    for method in sorted(group.methods, key=by_rank):
        cells = [_cell(method.scores[name], method.method in group.tied.get(name, ())) for name in _COLUMNS]
        lines.append(f"{escape_latex(method.method)} & {' & '.join(cells)} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def _cell(score: Score, bold: bool) -> str:
    estimate = score.estimate
    if estimate is None:
        return "--"
    mean = f"\\textbf{{{estimate.mean:.3f}}}" if bold else f"{estimate.mean:.3f}"
    return mean if estimate.low != estimate.low else f"{mean} [{estimate.low:.3f}, {estimate.high:.3f}]"
