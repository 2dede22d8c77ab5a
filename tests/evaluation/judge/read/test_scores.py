"""Votes of one image: the majority rule by enumeration, and what undecided questions can change."""

from __future__ import annotations

import itertools

import pytest

from lorarar.datasets.records import Item
from lorarar.evaluation.judge.read.scores import IMAGE_METRICS, Counts, ImageScore, count_states, score_images, voting
from lorarar.evaluation.judge.records import Question, State, Verdict
from tests.evaluation.judge.synthetic import make_items, make_questions

ITEM = Item("i", "i.png", "m", "c0", "s0", 0)
STATES: tuple[State | None, ...] = ("abstain", "error", "invalid_input", "not_run", None)


def scored(content: list[float | str | None], style: list[float | str | None]) -> ImageScore:
    """The image whose questions were answered so: values, states, or None for no verdict at all."""
    questions = make_questions([ITEM], {"content": len(content), "style": len(style)})
    verdicts = {}
    for question, answers in zip(questions, [*content, *style], strict=True):
        if isinstance(answers, str):
            verdicts[question.id] = Verdict(question.id, answers, reason="because")  # type: ignore[arg-type]
        elif answers is not None:
            verdicts[question.id] = Verdict(question.id, "ok", float(answers))
    return score_images([ITEM], questions, verdicts)[0]


@pytest.mark.parametrize("votes", list(itertools.product([0, 1, None], repeat=4)))
def test_the_majority_rule_by_enumeration(votes: tuple[int | None, ...]) -> None:
    image = scored(list(votes), [1])
    outcomes = set()
    for filled in itertools.product([0, 1], repeat=votes.count(None)):
        rest = iter(filled)
        outcomes.add(sum(next(rest) if vote is None else vote for vote in votes) / 4 > 0.5)
    expected = outcomes.pop() if len(outcomes) == 1 else None
    assert image.axes["content"].passes() is expected
    assert image.correct is expected
    assert IMAGE_METRICS["content"](image).value == (None if expected is None else float(expected))


def test_half_is_not_enough() -> None:
    assert scored([1, 0], [1]).correct is False
    assert scored([1, 1, 0], [1]).correct is True


@pytest.mark.parametrize("state", STATES)
def test_a_failure_never_votes(state: State | None) -> None:
    image = scored([1, state, state], [1])
    assert image.correct is None
    assert image.axes["content"].yes == 1
    assert image.counts.ok == 2
    assert image.counts.undecided == 2
    assert getattr(image.counts, state or "not_run") == 2
    assert IMAGE_METRICS["content_share"](image).value == 1.0  # of the decided one
    assert (IMAGE_METRICS["content_share"](image).low, IMAGE_METRICS["content_share"](image).high) == (1 / 3, 1.0)
    assert scored([1, 1, state], [1]).correct is True  # it could not change that
    assert scored([0, 0, state], [state]).correct is False


def test_a_failed_verdict_with_a_value_does_not_vote_either() -> None:
    question = make_questions([ITEM], {"content": 1, "style": 0})
    image = score_images([ITEM], question, {question[0].id: Verdict(question[0].id, "error", 1.0)})[0]
    assert image.axes["content"].passes() is None


def test_an_axis_without_questions_is_undecided() -> None:
    image = scored([1], [])
    assert image.correct is None
    assert IMAGE_METRICS["style_share"](image).value is None
    assert (IMAGE_METRICS["mars2"](image).value, IMAGE_METRICS["mars2"](image).high) == (None, 1.0)
    assert IMAGE_METRICS["joint_share"](image).value is None


def test_soft_scores_are_mean_probabilities() -> None:
    questions = make_questions([ITEM], {"content": 2, "style": 1})
    p = [(0.9, 0.9), (0.2, 0.4), None]
    verdicts = {q.id: Verdict(q.id, "ok", 1.0, p_yes=bounds) for q, bounds in zip(questions, p, strict=True)}
    image = score_images([ITEM], questions, verdicts)[0]
    assert IMAGE_METRICS["soft_content"](image).value == pytest.approx((0.9 + 0.3) / 2)
    assert IMAGE_METRICS["soft_style"](image).value == 1.0
    assert IMAGE_METRICS["soft_mars2"](image).value == pytest.approx(0.6)
    assert IMAGE_METRICS["joint_share"](image).value == 1.0


def test_a_scale_votes_yes_above_the_middle() -> None:
    assert scored([0.75, 0.5, 0.75], [1]).axes["content"].yes == 2


def test_one_vote_a_reference() -> None:
    questions = make_questions([ITEM], {"content": 2, "style": 1}, orders=(True, False), repeats=2)
    chosen = voting(reversed(questions))
    assert len(chosen) == 3
    assert all(not q.swapped and q.repeat == 0 for q in chosen)
    only_swapped = [q for q in questions if q.swapped]
    assert len(voting(only_swapped)) == 3
    preference = Question("p", "i", "content", "r", "u", (), (), "", answer="pairwise")
    assert voting([preference]) == []


def test_counts_add_up() -> None:
    verdicts = [None, *(Verdict("q", state) for state in ("ok", "ok", "abstain", "error", "invalid_input", "not_run"))]
    counts = count_states(verdicts)
    assert counts == Counts(2, 1, 1, 1, 2)
    assert (counts.total, counts.undecided) == (7, 5)
    assert counts + Counts(1, 1, 1, 1, 1) == Counts(3, 2, 2, 2, 3)


def test_scores_follow_the_items() -> None:
    items = make_items(["b", "a"], 1, 2, 1)
    assert [image.item for image in score_images(items, [], {})] == items
