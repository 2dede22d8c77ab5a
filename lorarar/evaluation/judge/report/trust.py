"""Trust sections: calibration, agreement with people, preferences and limitations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorarar.datasets import AXES, Axis
from lorarar.evaluation.judge.compare.pairwise import Tournament
from lorarar.evaluation.judge.read.scores import is_yes
from lorarar.evaluation.judge.records import Verdict
from lorarar.evaluation.judge.trust.agreement import Agreement
from lorarar.evaluation.judge.trust.calibration import CalibrationCase
from lorarar.evaluation.judge.trust.gate import (
    MAX_FALSE_ACCEPTS,
    MIN_SENSITIVITY,
    MIN_SPECIFICITY,
    AxisGate,
    CalibrationGate,
)
from lorarar.evaluation.report.tables import ReportTable, show_estimate, show_number, show_rate
from lorarar.evaluation.statistics.proportions import Rate

LIMITATIONS = (
    "A judge is a model. The calibration measures its errors on the references and on changes of them; its errors on "
    "generated images are known only as far as those resemble the calibration's images.",
    "The calibration's positives are photographs and style images, which are easier than a subject in a new style: a "
    "sensitivity measured on them may be too high, and corrected scores then too low.",
    "Corrected scores take the judge's errors as independent of the judged images and, for the joint score, of each "
    "other between the axes.",
    "A majority over few references is coarse: with one reference it is a single answer. An even number of references "
    "passes less often than an odd number, since half of them is not enough.",
    "Asking for both axes at once lowers scores: with sensitivity and specificity 0.9 on each axis, a true 0.64 is "
    "measured as 0.55.",
    "Intervals generalise to contents, styles and seeds like those judged; with few of them they are wide and rough. "
    "With one seed, and for the best case, they hold for these seeds only. With five contents, a test that flips "
    "whole contents cannot give less than p = 0.0625: use eight or more.",
    "The sign-flip test on pairs takes pairs as independent. Where a method helps some contents or styles more than "
    "others, it reports too many differences; two methods count as different only when the interval agrees.",
    "A judge that agrees with itself, in another order or when asked again, may still be wrong.",
)


@dataclass(frozen=True)
class TournamentTables:
    """The preferences on one axis; `reason`: why there are no strengths, "" where there are."""

    axis: Axis
    duels: ReportTable
    strengths: ReportTable
    reason: str


def calibration_tables(
    gate: CalibrationGate | None, cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]
) -> tuple[ReportTable, ...]:
    """Lay out sensitivity, specificity and false accepts, and the answers to each kind of case; () without a gate."""
    if gate is None:
        return ()
    header = ("axis", "sensitivity", "specificity", "AUC", "false accepts of degenerate images", "undecided")
    note = (
        f"Required: at least {MIN_SENSITIVITY}, at least {MIN_SPECIFICITY}, at most {MAX_FALSE_ACCEPTS:.0%}. "
        "Undecided: positives / negatives / degenerate images. A collage counts as accepted when both axes say yes."
    )
    rates = ReportTable(header, [_rates(axis, gate.axes[axis]) for axis in AXES], note)
    return rates, ReportTable(("kind of image", "axis", "right answer", "answered yes"), _kinds(cases, verdicts))


def agreement_table(agreement: Agreement | None) -> ReportTable | None:
    """Lay out how far the judge and people agree; None without labels by people."""
    if agreement is None:
        return None
    rows = [(p.first, p.second, p.axis, show_rate(p.agreed), show_estimate(p.kappa)) for p in agreement.pairs]
    header = ("rater", "rater", "axis", "agreed", "Cohen's kappa")
    alphas = ", ".join(f"{axis} {show_number(alpha)}" for axis, alpha in agreement.alpha.items())
    return ReportTable(header, rows, f"Krippendorff's alpha of all raters: {alphas}.")


def tournament_tables(tournament: Tournament) -> TournamentTables:
    """Lay out the preferences between methods on one axis."""
    duels = []
    for duel in tournament.duels:
        counts = [str(count) for count in (duel.first_wins, duel.ties, duel.second_wins, duel.undecided)]
        duels.append((duel.first, duel.second, *counts))
    header = ("first", "second", "first preferred", "ties", "second preferred", "undecided")
    preferred = show_rate(tournament.shown_first_preferred)
    note = f"The image shown first was preferred: {preferred}. An answer that changes with the order is a tie."
    ranked = sorted(tournament.strengths.items(), key=lambda entry: (-entry[1].mean, entry[0]))
    strengths = ReportTable(("method", "strength (log)"), [(name, show_estimate(e)) for name, e in ranked])
    return TournamentTables(tournament.axis, ReportTable(header, duels, note), strengths, tournament.reason)


def _rates(axis: Axis, gate: AxisGate) -> tuple[str, ...]:
    return (
        axis,
        show_rate(gate.sensitivity),
        show_rate(gate.specificity),
        show_number(gate.auc),
        show_rate(gate.false_accepts),
        " / ".join(map(str, gate.undecided)),
    )


def _kinds(cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for kind, axis, label in sorted({(case.kind, case.axis, case.label) for case in cases}):
        answers = [verdicts.get(c.id) for c in cases if (c.kind, c.axis, c.label) == (kind, axis, label)]
        decided = [verdict for verdict in answers if verdict is not None and verdict.state == "ok"]
        right = "not on both axes" if kind == "collage" else "yes" if label else "no"
        rows.append((kind, axis, right, show_rate(Rate(sum(map(is_yes, decided)), len(decided)))))
    return rows
