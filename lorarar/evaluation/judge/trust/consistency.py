"""Consistency: whether the judge gives the same answer when the question is asked in another way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lorarar.datasets import AXES, Axis
from lorarar.evaluation.judge.read.scores import is_yes
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.statistics.agreement import cohen_kappa, raw_agreement
from lorarar.evaluation.statistics.intervals import Estimate
from lorarar.evaluation.statistics.proportions import Rate


@dataclass(frozen=True)
class Consistency:
    """Two ways to ask the same questions of one axis.

    Attributes:
        asked: Questions asked both ways.
        decided: Questions answered both ways.
        agreed: The share of equal votes.
        yes_first: Votes of yes the first way.
        yes_second: Votes of yes the second way; far from the first number, the judge prefers a position.
        kappa: Agreement beyond chance. A judge that ignores the images may agree with itself, too.
    """

    asked: int
    decided: int
    agreed: Rate
    yes_first: int
    yes_second: int
    kappa: Estimate


def swapped_consistency(questions: Iterable[Question], verdicts: Mapping[str, Verdict]) -> dict[Axis, Consistency]:
    """Compare reference first with test image first, for each axis with questions in both orders."""
    couples = swapped_couples(questions)
    return _by_axis(couples, verdicts)


def repeat_consistency(questions: Iterable[Question], verdicts: Mapping[str, Verdict]) -> dict[Axis, Consistency]:
    """Compare the first repeat with each later one, for each axis with repeats."""
    groups: dict[tuple[object, ...], dict[int, Question]] = defaultdict(dict)
    for q in questions:
        groups[q.item, q.axis, q.reference, q.swapped, q.perturbation][q.repeat] = q
    couples = []
    for group in groups.values():
        if 0 in group:
            couples += [(group[0], group[repeat]) for repeat in sorted(group) if repeat]
    return _by_axis(couples, verdicts)


def perturbation_consistency(
    questions: Iterable[Question], verdicts: Mapping[str, Verdict]
) -> dict[str, dict[Axis, Consistency]]:
    """Compare each question with the same question under each of its perturbations.

    See `lorarar.evaluation.judge.ask.perturbations`.
    """
    groups: dict[tuple[object, ...], dict[str, Question]] = defaultdict(dict)
    for q in questions:
        groups[q.item, q.axis, q.reference, q.swapped, q.repeat][q.perturbation] = q
    couples: dict[str, list[tuple[Question, Question]]] = defaultdict(list)
    for group in groups.values():
        for perturbation in sorted(group.keys() - {""}):
            couples[perturbation].append((group[""], group[perturbation]))
    return {perturbation: _by_axis(couples[perturbation], verdicts) for perturbation in sorted(couples)}


def swapped_couples(questions: Iterable[Question]) -> list[tuple[Question, Question]]:
    """Return the questions in both orders, the usual order first."""
    groups: dict[tuple[object, ...], dict[bool, Question]] = defaultdict(dict)
    for q in questions:
        if q.answer != "pairwise":
            groups[q.item, q.axis, q.reference, q.repeat, q.perturbation][q.swapped] = q
    return [(group[False], group[True]) for group in groups.values() if len(group) == 2]


def _by_axis(couples: Iterable[tuple[Question, Question]], verdicts: Mapping[str, Verdict]) -> dict[Axis, Consistency]:
    of_axis: dict[Axis, list[tuple[Verdict | None, Verdict | None]]] = {axis: [] for axis in AXES}
    for first, second in couples:
        of_axis[first.axis].append((verdicts.get(first.id), verdicts.get(second.id)))
    return {axis: _compare(pairs) for axis, pairs in of_axis.items() if pairs}


def _compare(couples: list[tuple[Verdict | None, Verdict | None]]) -> Consistency:
    decided = [(is_yes(a), is_yes(b)) for a, b in couples if a and b and a.state == b.state == "ok"]
    first, second = [a for a, _ in decided], [b for _, b in decided]
    return Consistency(
        asked=len(couples),
        decided=len(decided),
        agreed=raw_agreement(first, second),
        yes_first=sum(first),
        yes_second=sum(second),
        kappa=cohen_kappa(first, second),
    )
