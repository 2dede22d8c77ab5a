"""The sections of a report that are tables: completeness, scores, comparisons, heat maps, consistency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lorarar.datasets import AXES
from lorarar.evaluation.judge.compare.results import MethodScores, PairCell, Results, Score, ScoreGroup
from lorarar.evaluation.judge.read.scores import Counts
from lorarar.evaluation.judge.records import Verdict
from lorarar.evaluation.report.html import Markup, element
from lorarar.evaluation.report.numbers import (
    DASH,
    show_estimate,
    show_number,
    show_rate,
    table,
)

_REASONS_SHOWN = 10
_REASON_LENGTH = 200


def completeness(results: Results, verdicts: Mapping[str, Verdict]) -> Markup:
    """How many questions have an answer, and why the others have none."""
    methods = results.groups[0].methods if results.groups else []
    rows = [("all questions", results.counts), *((f"{axis} axis", results.axes[axis]) for axis in AXES)]
    rows += [(f"method {found.method}, voting questions", found.counts) for found in methods]
    header = ("", "total", "decided", "abstained", "failed", "invalid input", "not run")
    counted = table(header, [(name, *_count(counts)) for name, counts in rows])
    reasons = Counter(v.reason[:_REASON_LENGTH] or v.state for v in verdicts.values() if v.state != "ok")
    shown = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))[:_REASONS_SHOWN]
    why = [table(("reason", "questions"), [(reason, str(n)) for reason, n in shown])] if shown else []
    full = not results.counts.undecided
    line = (
        "All questions are decided."
        if full
        else (
            f"{results.counts.undecided} of {results.counts.total} questions are undecided. They are no votes: scores "
            "are means over what is decided; in parentheses are the bounds with all of them no, and all yes."
        )
    )
    banner = element("p", line, class_=f"banner {'good' if full else 'warn'}")
    return element("section", element("h2", "Completeness"), banner, counted, *why)


def _count(counts: Counts) -> list[str]:
    return [
        str(n) for n in (counts.total, counts.ok, counts.abstain, counts.error, counts.invalid_input, counts.not_run)
    ]


def score_tables(results: Results) -> Markup:
    """Methods with intervals and tied sets, for all images and for each prompt type."""
    sections = []
    for group in results.groups:
        title = "All images" if len(results.groups) > 1 and group.prompt_type == "all" else group.prompt_type
        heading = [element("h3", f"Prompt type: {title}")] if len(results.groups) > 1 else []
        sections.append(element("div", *heading, _scores(group), _best_of(group), _comparisons(group)))
    skipped = [element("p", f"Prompt type {name} is left out: {why}.") for name, why in results.skipped.items()]
    return element("section", element("h2", "Scores"), *sections, *skipped)


def _scores(group: ScoreGroup) -> Markup:
    most = max((max(found.best_of, default=0) for found in group.methods), default=0)
    header = ("method", "MARS2", "content", "style", f"best case (any of {most})", "soft MARS2", "corrected joint")
    ranked = sorted(group.methods, key=_rank)
    rows = [
        (
            found.method,
            *(show_score(found.scores[metric]) for metric in ("mars2", "content", "style", "best", "soft_mars2")),
            show_estimate(found.corrected.get("joint")),
        )
        for found in ranked
    ]
    tied = group.tied.get("mars2", ())
    note = f"Intervals (95 %, resampling contents and styles) cover {group.covers}."
    if len(tied) > 1:
        note += f" Cannot be told from the best one on MARS2: {', '.join(tied)} (starred)."
    parts = [table(header, rows, caption=note, marked=tied)]
    shares = ("content_share", "style_share", "joint_share", "soft_content", "soft_style")
    corrected = ("content", "style")
    more = [
        (
            found.method,
            *(show_score(found.scores[metric]) for metric in shares),
            *(show_estimate(found.corrected.get(axis)) for axis in corrected),
        )
        for found in ranked
    ]
    names = ("method", "content votes", "style votes", "product", "soft content", "soft style", "corrected content",
             "corrected style")  # fmt: skip
    parts.append(table(names, more, caption="Shares of references that say yes, before any majority rule."))
    flagged = [(found.method, name, show_rate(rate)) for found in ranked for name, rate in found.flags.items()]
    parts += [table(("method", "flag", "share of answers"), flagged)] if flagged else []
    return element("div", parts)


def _rank(found: MethodScores) -> tuple[float, str]:
    estimate = found.scores["mars2"].estimate
    return (-estimate.mean if estimate else 1.0, found.method)


def _best_of(group: ScoreGroup) -> Markup:
    sizes = sorted({k for found in group.methods for k in found.best_of})
    rows = [
        (found.method, *(show_score(found.best_of[k]) if k in found.best_of else DASH for k in sizes))
        for found in group.methods
    ]
    return table(
        ("method", *(f"best of {k}" for k in sizes)), rows, caption="At least one right image among k of a pair."
    )


def _comparisons(group: ScoreGroup) -> Markup:
    if not group.comparisons:
        return element("p", "One method: nothing to compare.")
    header = ("first", "second", "metric", "difference", "p (pairs)", "p after Holm", "p (contents)", "p (styles)",
              "told apart", "McNemar p")  # fmt: skip
    rows = [
        (
            c.first,
            c.second,
            c.metric,
            show_estimate(c.difference),
            *(show_number(p, 4) for p in (c.p, c.p_holm, c.p_contents, c.p_styles)),
            "yes" if c.differs else "no",
            show_number(c.p_mcnemar, 4),
        )
        for c in group.comparisons
    ]
    note = (
        "First minus second at the same pairs. p: paired sign-flip test, two-sided. Told apart: p after Holm below "
        "0.05 and an interval without 0. McNemar's test assumes that images are independent, which they are not: for "
        "comparison with other reports only."
    )
    return table(header, rows, caption=note)


def heat_maps(group: ScoreGroup) -> Markup:
    """For each method the share of right images at each content and style."""
    maps = [element("div", element("h3", found.method), _heat_map(found.matrix)) for found in group.methods]
    note = "Share of decided images that are right on both axes; below it decided of all images."
    return element("section", element("h2", "Contents and styles"), element("p", note, class_="small"), *maps)


def _heat_map(cells: Sequence[PairCell]) -> Markup:
    contents, styles = sorted({c.content for c in cells}), sorted({c.style for c in cells})
    by_pair = {(c.content, c.style): c for c in cells}
    head = element("tr", element("th", ""), *(element("th", style) for style in styles))
    rows = [
        element("tr", element("th", content), *(_heat(by_pair.get((content, style))) for style in styles))
        for content in contents
    ]
    return element("div", element("table", head, *rows, class_="heat"), class_="wide")


def _heat(cell: PairCell | None) -> Markup:
    if cell is None:
        return element("td", "")
    what = f"content {show_number(cell.content_passes, 2)}, style {show_number(cell.style_passes, 2)}"
    counted = element("div", f"{cell.decided}/{cell.total}", class_="small")
    if cell.mars2 is None:
        return element("td", DASH, counted, title=what)
    # From white to a blue on which black text is still read with ease.
    red, green = (round(255 - cell.mars2 * depth) for depth in (150, 80))
    return element("td", show_number(cell.mars2, 2), counted, title=what, style=f"background: rgb({red}, {green}, 255)")


def consistency(results: Results) -> Markup:
    """Whether the order of the images, asking again, or a perturbation changes answers."""
    ways = {"other order": results.swapped, "asked again": results.repeated, **results.perturbations}
    rows = [
        (
            f"{axis}, {name}",
            f"{c.decided} of {c.asked}",
            show_rate(c.agreed),
            show_number(c.kappa.mean),
            f"{c.yes_first} / {c.yes_second}",
        )
        for name, found in ways.items()
        for axis, c in found.items()
    ]
    if not rows:
        body = element("p", "Each question was asked once, in one order: nothing is known about consistency.")
    else:
        header = ("", "answered both ways", "agreed", "kappa", "yes, first / second way")
        body = table(header, rows, caption="A consistent judge may still be wrong: see the calibration.")
    return element("section", element("h2", "Consistency"), body)


def show_score(score: Score) -> str:
    """An estimate, followed by its bounds where questions are undecided."""
    text = show_estimate(score.estimate)
    return text if score.low == score.high else f"{text} ({score.low:.3f} to {score.high:.3f})"
