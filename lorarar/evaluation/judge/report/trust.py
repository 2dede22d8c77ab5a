"""The sections of a report that say how far to trust it: calibration, people, limitations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorarar.datasets import AXES
from lorarar.evaluation.judge.compare.pairwise import Tournament
from lorarar.evaluation.judge.read.scores import is_yes
from lorarar.evaluation.judge.records import Verdict
from lorarar.evaluation.judge.trust.agreement import Agreement
from lorarar.evaluation.judge.trust.calibration import CalibrationCase
from lorarar.evaluation.judge.trust.gate import MAX_FALSE_ACCEPTS, MIN_SENSITIVITY, MIN_SPECIFICITY, CalibrationGate
from lorarar.evaluation.report.html import Markup, element
from lorarar.evaluation.report.numbers import show_estimate, show_number, show_rate, table
from lorarar.evaluation.statistics.proportions import Rate

LIMITATIONS = (
    "A judge is a model. Its errors on these images are known only as far as the calibration's images, which are the "
    "references themselves and changes of them, are like generated ones.",
    "The calibration's positives are photographs and style images, easier than a subject in a new style: a sensitivity "
    "measured on them may be too high, and corrected scores then too low.",
    "Corrected scores take the judge's errors as independent of what it judges and, for the joint score, between axes.",
    "A majority over few references is coarse: with one reference it is a single answer, and an even number of them is "
    "passed less often than an odd one, since half is not enough.",
    "Asking for both axes at once lowers scores: with sensitivity and specificity 0.9 on each axis a true 0.64 is seen "
    "as 0.55.",
    "Intervals resample contents and styles, and so speak of others like them; with few of them they are rough. With "
    "five contents a test that flips whole contents cannot give less than p = 0.0625: use eight or more.",
    "The sign-flip test on pairs takes pairs as independent. Where a method helps some contents or styles more than "
    "others it calls too many differences real; two methods count as told apart only when the interval agrees.",
    "Agreement with itself, in another order or again, says nothing about being right.",
)


def banner(gate: CalibrationGate | None) -> Markup:
    """The calibration's verdict, in red when it failed or was not made."""
    if gate is None:
        text = "Not calibrated: nothing is known about this judge's errors. Do not rely on these scores."
        return element("p", element("strong", text), class_="banner bad")
    if gate.passed:
        return element("p", "The judge passed its calibration on both axes.", class_="banner good")
    title = element("strong", "The judge failed its calibration. Do not rely on these scores.")
    return element("div", title, element("ul", *(element("li", why) for why in gate.reasons)), class_="banner bad")


def calibration(
    gate: CalibrationGate | None, cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]
) -> Markup:
    """Sensitivity, specificity and false accepts, and the answers to each kind of case."""
    heading = element("h2", "Calibration")
    if gate is None:
        return element("section", heading, element("p", "It was not made."))
    rows = [
        (
            axis,
            show_rate(found.sensitivity),
            show_rate(found.specificity),
            show_number(found.auc),
            show_rate(found.false_accepts),
            " / ".join(map(str, found.undecided)),
        )
        for axis, found in ((axis, gate.axes[axis]) for axis in AXES)
    ]
    header = ("axis", "sensitivity", "specificity", "AUC", "false accepts of degenerate images", "undecided")
    note = (
        f"Wanted: at least {MIN_SENSITIVITY}, at least {MIN_SPECIFICITY}, at most {MAX_FALSE_ACCEPTS:.0%}. Undecided: "
        "positives / negatives / degenerate images. A collage counts as accepted when both axes say yes."
    )
    kinds = table(("kind of image", "axis", "right answer", "said yes"), _kinds(cases, verdicts))
    return element("section", heading, table(header, rows, caption=note), kinds)


def _kinds(cases: Sequence[CalibrationCase], verdicts: Mapping[str, Verdict]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for kind, axis, label in sorted({(case.kind, case.axis, case.label) for case in cases}):
        found = [verdicts.get(c.id) for c in cases if (c.kind, c.axis, c.label) == (kind, axis, label)]
        decided = [verdict for verdict in found if verdict is not None and verdict.state == "ok"]
        right = "not on both axes" if kind == "collage" else "yes" if label else "no"
        rows.append((kind, axis, right, show_rate(Rate(sum(map(is_yes, decided)), len(decided)))))
    return rows


def agreement(found: Agreement | None) -> Markup:
    """How the judge and people agree."""
    heading = element("h2", "People")
    if found is None:
        return element("section", heading, element("p", "No labels by people were imported."))
    rows = [(p.first, p.second, p.axis, show_rate(p.agreed), show_estimate(p.kappa)) for p in found.pairs]
    header = ("rater", "rater", "axis", "agreed", "Cohen's kappa")
    alphas = ", ".join(f"{axis} {show_number(alpha)}" for axis, alpha in found.alpha.items())
    return element("section", heading, table(header, rows, caption=f"Krippendorff's alpha of all raters: {alphas}."))


def tournaments(found: Sequence[Tournament]) -> Markup:
    """Preferences between methods."""
    sections = []
    for axis in found:
        duels = [
            (d.first, d.second, *(str(n) for n in (d.first_wins, d.ties, d.second_wins, d.undecided)))
            for d in axis.duels
        ]
        header = ("first", "second", "first preferred", "ties", "second preferred", "undecided")
        note = (
            f"The image shown first was preferred: {show_rate(axis.shown_first_preferred)}. A change of mind is a tie."
        )
        strengths = sorted(axis.strengths.items(), key=lambda entry: (-entry[1].mean, entry[0]))
        ranked = table(("method", "strength (log)"), [(name, show_estimate(e)) for name, e in strengths])
        why = element("p", f"No strengths: {axis.reason}.", class_="banner warn")
        sections += [element("h3", axis.axis), table(header, duels, caption=note), why if axis.reason else ranked]
    return element("section", element("h2", "Preferences"), *sections)


def limitations() -> Markup:
    """What these numbers do not say."""
    return element("section", element("h2", "Limitations"), element("ul", *(element("li", t) for t in LIMITATIONS)))
