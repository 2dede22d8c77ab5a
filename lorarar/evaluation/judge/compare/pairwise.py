"""Pairwise preferences: tournaments of methods, asked in both orders, with Bradley-Terry strengths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lorarar.datasets import AXES, Axis, Item
from lorarar.evaluation.judge.ask.planning import PAIR_MARK
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.statistics.bradley_terry import bradley_terry_intervals
from lorarar.evaluation.statistics.intervals import Estimate
from lorarar.evaluation.statistics.proportions import Rate


@dataclass
class Duel:
    """Two methods against each other on one axis; a comparison is one reference, asked in both orders.

    Attributes:
        ties: Comparisons in which the answer changed with the order, or was even.
        undecided: Comparisons without answers in both orders; they count for neither method.
    """

    first: str
    second: str
    first_wins: int = 0
    second_wins: int = 0
    ties: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class Tournament:
    """All methods on one axis.

    Attributes:
        shown_first_preferred: The share of answers that prefer the image shown first; far from 1/2, the position
            decides.
        strengths: Logarithms with mean 0, by method; empty where they are not finite.
        reason: The reason why there are no strengths.
    """

    axis: Axis
    duels: list[Duel]
    shown_first_preferred: Rate
    strengths: dict[str, Estimate] = field(default_factory=dict)
    reason: str = ""


def hold_tournaments(
    items: Iterable[Item], questions: Iterable[Question], verdicts: Mapping[str, Verdict]
) -> list[Tournament]:
    """Compute the outcome of a pairwise run, for each axis with questions.

    Args:
        questions: Those of a pairwise rubric; their ``item`` names both items, A first.
        verdicts: Value 1 prefers the image shown first, 0 the second.

    Raises:
        ValueError: A question does not name two items.
    """
    by_id = {item.id: item for item in items}
    orders: dict[tuple[Axis, str, str, int], dict[bool, Question]] = defaultdict(dict)
    for q in questions:
        if q.answer == "pairwise":
            orders[q.axis, q.item, q.reference, q.repeat][q.swapped] = q
    tournaments = []
    for axis in AXES:
        comparisons = {key: questions for key, questions in orders.items() if key[0] == axis}
        if comparisons:
            tournaments.append(_tournament(axis, comparisons, by_id, verdicts))
    return tournaments


def _tournament(
    axis: Axis,
    comparisons: Mapping[tuple[Axis, str, str, int], Mapping[bool, Question]],
    by_id: Mapping[str, Item],
    verdicts: Mapping[str, Verdict],
) -> Tournament:
    couples = {ids: _couple(ids, by_id) for _, ids, _, _ in comparisons}
    names = sorted({item.method for couple in couples.values() for item in couple})
    contents, styles = (
        sorted({getattr(couple[0], part) for couple in couples.values()}) for part in ("content", "style")
    )
    wins = np.zeros((len(contents), len(styles), len(names), len(names)))
    duels: dict[tuple[str, str], Duel] = {}
    for (_, ids, _, _), questions in sorted(comparisons.items()):
        a, b = couples[ids]
        duel = duels.setdefault((a.method, b.method), Duel(a.method, b.method))
        won = _preference(questions, verdicts)
        _count(duel, won)
        if won is not None:
            cell = wins[contents.index(a.content), styles.index(a.style)]
            cell[names.index(a.method), names.index(b.method)] += won
            cell[names.index(b.method), names.index(a.method)] += 1 - won
    ranked = [duels[key] for key in sorted(duels)]
    first = _first_preferred([q for questions in comparisons.values() for q in questions.values()], verdicts)
    try:
        estimates = bradley_terry_intervals(wins, names).estimates
    except ValueError as error:
        return Tournament(axis, ranked, first, reason=str(error))
    return Tournament(axis, ranked, first, dict(zip(names, estimates, strict=True)))


def _couple(ids: str, by_id: Mapping[str, Item]) -> tuple[Item, Item]:
    parts = ids.split(PAIR_MARK)
    for cut in range(1, len(parts)):  # an id may contain the mark
        a, b = PAIR_MARK.join(parts[:cut]), PAIR_MARK.join(parts[cut:])
        if a in by_id and b in by_id:
            return by_id[a], by_id[b]
    raise ValueError(f"expected a pairwise question about two items of the manifest, found {ids!r}: plan the run again")


def _preference(questions: Mapping[bool, Question], verdicts: Mapping[str, Verdict]) -> float | None:
    """Return 1 where A won, 0 where B won, 1/2 for a tie, None where an order has no answer."""
    straight, swapped = (_value(questions.get(order), verdicts) for order in (False, True))
    if straight is None or swapped is None:
        return None
    votes = float(np.sign(straight - 0.5) - np.sign(swapped - 0.5))
    return 0.5 if abs(votes) < 2 else float(votes > 0)


def _value(question: Question | None, verdicts: Mapping[str, Verdict]) -> float | None:
    verdict = verdicts.get(question.id) if question else None
    return verdict.value if verdict is not None and verdict.state == "ok" else None


def _count(duel: Duel, won: float | None) -> None:
    if won is None:
        duel.undecided += 1
    elif won == 0.5:
        duel.ties += 1
    elif won:
        duel.first_wins += 1
    else:
        duel.second_wins += 1


def _first_preferred(questions: Sequence[Question], verdicts: Mapping[str, Verdict]) -> Rate:
    values = [value for q in questions if (value := _value(q, verdicts)) is not None and value != 0.5]
    return Rate(sum(value > 0.5 for value in values), len(values))
