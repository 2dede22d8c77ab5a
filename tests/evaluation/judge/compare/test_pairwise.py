"""Preferences: both orders, ties, position, strengths."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from lorarar.datasets.records import Item
from lorarar.evaluation.judge.ask.planning import PAIR_MARK
from lorarar.evaluation.judge.compare.pairwise import hold_tournaments
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.statistics.proportions import Rate
from tests.evaluation.judge.synthetic import make_items

METHODS = ("a", "b", "c")
ITEMS = make_items(METHODS, 4, 4, 2)


def ask(items: list[Item]) -> list[Question]:
    questions = []
    for one, other in itertools.combinations(items, 2):
        if (one.content, one.style, one.seed) == (other.content, other.style, other.seed):
            ids = f"{one.id}{PAIR_MARK}{other.id}"
            for swapped in (False, True):
                name = f"{ids}|{swapped}"
                questions.append(Question(name, ids, "content", "r", "u", (), (), "", "pairwise", swapped))
    return questions


def answer(questions: list[Question], prefers_a: Callable[[Question], bool]) -> dict[str, Verdict]:
    """``prefers_a``: whether the pair's first item is preferred, wherever it is shown."""
    return {q.id: Verdict(q.id, "ok", float(prefers_a(q) != q.swapped)) for q in questions}


def test_strengths_are_recovered() -> None:
    random = np.random.default_rng(0)
    truth = {"a": 1.0, "b": 0.0, "c": -1.0}
    items = make_items(METHODS, 6, 6, 4)
    questions = ask(items)
    answers: dict[str, bool] = {}

    def prefers(q: Question) -> bool:
        a, b = (part[0] for part in q.item.split(PAIR_MARK))
        return answers.setdefault(q.item, random.random() < 1 / (1 + math.exp(truth[b] - truth[a])))

    result = hold_tournaments(items, questions, answer(questions, prefers))
    assert [tournament.axis for tournament in result] == ["content"]
    for method, strength in truth.items():
        estimate = result[0].strengths[method]
        assert estimate.low < strength < estimate.high
        assert estimate.mean == pytest.approx(strength, abs=0.35)
    assert sum(d.first_wins + d.second_wins for d in result[0].duels) == 3 * 6 * 6 * 4
    assert result[0].shown_first_preferred == Rate(432, 864)


def test_a_judge_that_prefers_a_position_only_ties() -> None:
    questions = ask(ITEMS)
    result = hold_tournaments(ITEMS, questions, {q.id: Verdict(q.id, "ok", 1.0) for q in questions})[0]
    assert all((d.first_wins, d.ties, d.second_wins) == (0, 32, 0) for d in result.duels)
    assert result.shown_first_preferred == Rate(192, 192)
    assert [e.mean for e in result.strengths.values()] == pytest.approx([0, 0, 0])


def test_an_unanswered_order_counts_for_neither_side() -> None:
    questions = ask(ITEMS[:1] + [i for i in ITEMS if i.method == "b"][:1])
    verdicts = answer(questions, lambda _: True)
    verdicts[questions[1].id] = Verdict(questions[1].id, "error", 0.0)
    result = hold_tournaments(ITEMS, questions, verdicts)[0]
    assert [(d.first_wins, d.ties, d.undecided) for d in result.duels] == [(0, 0, 1)]
    assert hold_tournaments(ITEMS, questions[:1], verdicts)[0].duels[0].undecided == 1
    assert "no finite strengths" in result.reason


def test_even_answers_are_ties() -> None:
    questions = ask(ITEMS)
    verdicts = {q.id: Verdict(q.id, "ok", 0.5) for q in questions}
    result = hold_tournaments(ITEMS, questions, verdicts)[0]
    assert all(d.ties == 32 for d in result.duels)
    assert result.shown_first_preferred == Rate(0, 0)


def test_a_method_that_always_wins_has_no_finite_strength() -> None:
    questions = ask(ITEMS)
    result = hold_tournaments(ITEMS, questions, answer(questions, lambda _: True))[0]
    assert result.strengths == {}
    assert "found none of c over any of a, b" in result.reason
    assert result.duels[0].first_wins == 32


def test_ids_may_hold_the_mark_and_must_be_known() -> None:
    items = [Item(f"x{PAIR_MARK}{m}", f"{m}.png", m, "c", "s", 0) for m in "ab"]
    questions = ask(items)
    assert hold_tournaments(items, questions, answer(questions, lambda _: True))[0].duels[0].first_wins == 1
    with pytest.raises(ValueError, match="two items of the manifest"):
        hold_tournaments([], questions, {})
    assert hold_tournaments(items, [], {}) == []
