"""Score sections: completeness, scores, comparisons, heat maps and consistency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lorarar.datasets import AXES
from lorarar.evaluation.judge.compare.comparison import MethodComparison
from lorarar.evaluation.judge.compare.results import MethodScores, PairCell, Results, Score, ScoreGroup
from lorarar.evaluation.judge.read.scores import Counts
from lorarar.evaluation.report.tables import DASH, ReportTable, show_estimate, show_number, show_rate

_HEAT_DEPTH = (150, 80)  # of red and green: from white to a blue on which black text is easily read


@dataclass(frozen=True)
class GroupTables:
    """The tables of one prompt type; `comparisons` has no rows where there is one method."""

    title: str
    tables: tuple[ReportTable, ...]
    comparisons: ReportTable


@dataclass(frozen=True)
class HeatCell:
    """One pair in a heat map; `colour` is "" where nothing is decided."""

    share: str
    counts: str
    title: str
    colour: str


@dataclass(frozen=True)
class HeatMap:
    """The share of right images of one method at each content (a row) and style; None where a pair is missing."""

    method: str
    styles: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell | None, ...]], ...]


@dataclass(frozen=True)
class ScoreSections:
    """The content of the sections.

    Attributes:
        skipped: Prompt types that are left out, with the reasons.
    """

    counts: ReportTable
    groups: tuple[GroupTables, ...]
    skipped: Mapping[str, str]
    heat_maps: tuple[HeatMap, ...]
    consistency: ReportTable


def score_sections(results: Results) -> ScoreSections:
    """Lay out results as tables."""
    return ScoreSections(
        counts=_completeness(results),
        groups=tuple(_group(group) for group in results.groups),
        skipped=results.skipped,
        heat_maps=tuple(_heat_map(method) for method in results.groups[0].methods),
        consistency=_consistency(results),
    )


def _completeness(results: Results) -> ReportTable:
    methods = results.groups[0].methods if results.groups else []
    rows = [("all questions", results.counts), *((f"{axis} axis", results.axes[axis]) for axis in AXES)]
    rows += [(f"method {method.method}, voting questions", method.counts) for method in methods]
    header = ("", "total", "decided", "abstained", "failed", "invalid input", "not run")
    return ReportTable(header, [(name, *_count(counts)) for name, counts in rows])


def _count(counts: Counts) -> list[str]:
    numbers = (counts.total, counts.ok, counts.abstain, counts.error, counts.invalid_input, counts.not_run)
    return [str(number) for number in numbers]


def _group(group: ScoreGroup) -> GroupTables:
    methods = sorted(group.methods, key=by_rank)
    tables = [_scores(group, methods), _votes(methods)]
    flags = [(method.method, name, show_rate(rate)) for method in methods for name, rate in method.flags.items()]
    if flags:
        tables.append(ReportTable(("method", "flag", "share of answers"), flags))
    tables.append(_best_of(group))
    title = "All images" if group.prompt_type == "all" else group.prompt_type
    return GroupTables(title, tuple(tables), _comparisons(group.comparisons))


def by_rank(method: MethodScores) -> tuple[float, str]:
    """Return the key that sorts methods by MARS2, the best first."""
    estimate = method.scores["mars2"].estimate
    return (-estimate.mean if estimate else 1.0, method.method)


def _scores(group: ScoreGroup, methods: Sequence[MethodScores]) -> ReportTable:
    most = max((max(method.best_of, default=0) for method in methods), default=0)
    header = ("method", "MARS2", "content", "style", f"best case (any of {most})", "soft MARS2", "corrected joint")
    rows = []
    for method in methods:
        scores = [show_score(method.scores[metric]) for metric in ("mars2", "content", "style", "best", "soft_mars2")]
        rows.append((method.method, *scores, show_estimate(method.corrected.get("joint"))))
    tied = group.tied.get("mars2", ())
    note = f"Intervals (95 %, over contents, styles and seeds) cover {group.covers}."
    if len(tied) > 1:
        note += f" Not distinguishable from the best method on MARS2: {', '.join(tied)} (starred)."
    return ReportTable(header, rows, note, tied)


def _votes(methods: Sequence[MethodScores]) -> ReportTable:
    shares = ("content_share", "style_share", "joint_share", "soft_content", "soft_style")
    rows = []
    for method in methods:
        corrected = [show_estimate(method.corrected.get(axis)) for axis in ("content", "style")]
        rows.append((method.method, *(show_score(method.scores[metric]) for metric in shares), *corrected))
    header = ("method", "content votes", "style votes", "product", "soft content", "soft style", "corrected content",
              "corrected style")  # fmt: skip
    return ReportTable(header, rows, "Shares of references with the answer yes, before any majority rule.")


def _best_of(group: ScoreGroup) -> ReportTable:
    sizes = sorted({k for method in group.methods for k in method.best_of})
    rows = []
    for method in group.methods:
        scores = [show_score(method.best_of[k]) if k in method.best_of else DASH for k in sizes]
        rows.append((method.method, *scores))
    header = ("method", *(f"best of {k}" for k in sizes))
    return ReportTable(header, rows, "At least one right image among k of a pair.")


def _comparisons(comparisons: Sequence[MethodComparison]) -> ReportTable:
    header = ("first", "second", "metric", "difference", "p (pairs)", "p after Holm", "p (contents)", "p (styles)",
              "different", "McNemar p")  # fmt: skip
    rows = []
    for c in comparisons:
        row = [c.first, c.second, c.metric, show_estimate(c.difference)]
        row += [show_number(p, 4) for p in (c.p, c.p_holm, c.p_contents, c.p_styles)]
        row += ["yes" if c.differs else "no", show_number(c.p_mcnemar, 4)]
        rows.append(row)
    note = (
        "First minus second at the same pairs. p: paired sign-flip test, two-sided. Different: p after Holm below 0.05 "
        "and an interval without 0. McNemar's test assumes that images are independent, which does not hold: use it "
        "for comparison with other reports only."
    )
    return ReportTable(header, rows, note)


def _heat_map(method: MethodScores) -> HeatMap:
    cells = {(cell.content, cell.style): cell for cell in method.matrix}
    contents, styles = (tuple(sorted({key[part] for key in cells})) for part in (0, 1))
    rows = [(content, tuple(_heat(cells.get((content, style))) for style in styles)) for content in contents]
    return HeatMap(method.method, styles, tuple(rows))


def _heat(cell: PairCell | None) -> HeatCell | None:
    if cell is None:
        return None
    title = f"content {show_number(cell.content_passes, 2)}, style {show_number(cell.style_passes, 2)}"
    counts = f"{cell.decided}/{cell.total}"
    if cell.mars2 is None:
        return HeatCell(DASH, counts, title, "")
    red, green = (round(255 - cell.mars2 * depth) for depth in _HEAT_DEPTH)
    return HeatCell(show_number(cell.mars2, 2), counts, title, f"rgb({red}, {green}, 255)")


def _consistency(results: Results) -> ReportTable:
    header = ("", "answered both ways", "agreed", "kappa", "yes, first / second way")
    return ReportTable(
        header, list(_consistency_rows(results)), "A consistent judge may still be wrong: see the calibration."
    )


def _consistency_rows(results: Results) -> Iterator[tuple[str, ...]]:
    ways = {"other order": results.swapped, "asked again": results.repeated, **results.perturbations}
    for name, axes in ways.items():
        for axis, c in axes.items():
            decided, yes = f"{c.decided} of {c.asked}", f"{c.yes_first} / {c.yes_second}"
            yield f"{axis}, {name}", decided, show_rate(c.agreed), show_number(c.kappa.mean), yes


def show_score(score: Score) -> str:
    """Write an estimate, followed by its bounds where questions are undecided."""
    text = show_estimate(score.estimate)
    return text if score.low == score.high else f"{text} ({score.low:.3f} to {score.high:.3f})"
