"""Agreement of orders and repeats."""

from __future__ import annotations

import pytest

from lorarar.evaluation.judge.records import Verdict
from lorarar.evaluation.judge.trust.consistency import repeat_consistency, swapped_consistency
from lorarar.evaluation.statistics.proportions import Rate
from tests.evaluation.judge.synthetic import answer, make_items, make_questions, make_truth

ITEMS = make_items(["m"], 4, 5, 2)
TRUTH = make_truth(ITEMS, {"m": (0.5, 0.5)})


def test_a_judge_that_prefers_a_position() -> None:
    questions = make_questions(ITEMS, {"content": 2, "style": 1}, orders=(False, True))
    verdicts = answer(questions, lambda q: q.swapped or TRUTH[q.item, q.axis])
    result = swapped_consistency(questions, verdicts)
    for axis, references in (("content", 2), ("style", 1)):
        yes = references * sum(TRUTH[item.id, axis] for item in ITEMS)
        assert result[axis].agreed == Rate(yes, 40 * references)
        assert (result[axis].yes_first, result[axis].yes_second) == (yes, 40 * references)
        assert result[axis].kappa.mean == pytest.approx(0)
    assert repeat_consistency(questions, verdicts) == {}


def test_undecided_questions_are_left_out() -> None:
    questions = make_questions(ITEMS[:2], {"content": 1, "style": 0}, orders=(False, True))
    verdicts = answer(questions, lambda _: True)
    verdicts[questions[0].id] = Verdict(questions[0].id, "abstain")
    result = swapped_consistency(questions, verdicts)["content"]
    assert (result.asked, result.decided, result.agreed) == (2, 1, Rate(1, 1))


def test_repeats() -> None:
    questions = make_questions(ITEMS, {"content": 1, "style": 1}, repeats=3)
    result = repeat_consistency(questions, answer(questions, lambda q: q.axis == "style" or q.repeat < 2))
    assert result["style"].agreed == Rate(80, 80)
    assert result["content"].agreed == Rate(40, 80)
    assert swapped_consistency(questions, {}) == {}
