"""lorarar.evaluation.judge.ask.backends.mocks: right answers, errors at given rates, and replays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from lorarar.evaluation.judge.ask.backends.loading import open_backend
from lorarar.evaluation.judge.ask.backends.mocks import NoisyMock, TruthMock, read_right_answers
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Answer, Question


def questions(count: int, *, answer: Answer = "yes_no", swapped: bool = False) -> list[Question]:
    return [
        Question(f"{i}{swapped}", f"i{i}", "content", "r", "m", ("a", "b"), ("", ""), "?", answer, swapped)
        for i in range(count)
    ]


LABELS = {(f"i{i}", "content"): i % 2 for i in range(4000)}


def values(backend: NoisyMock | TruthMock, planned: list[Question]) -> list[float | None]:
    return [parse_reply(reply, q).value for reply, q in zip(backend.ask(planned), planned, strict=True)]


@pytest.mark.parametrize("answer", [form for form in get_args(Answer) if form != "text"])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_truth_in_every_form(answer: Answer, swapped: bool) -> None:
    answers = values(TruthMock(LABELS), questions(4, answer=answer, swapped=swapped))
    reversed_answers = answer == "pairwise" and swapped  # 1 says that the image shown first is better
    assert answers == ([1, 0, 1, 0] if reversed_answers else [0, 1, 0, 1])


def test_what_has_no_label_is_no_answer() -> None:
    (reply,) = TruthMock({}).ask(questions(1))
    assert reply.failure == "expected a content label for i0, found none"
    assert NoisyMock({}).ask(questions(1))[0].failure


def test_noise_has_the_given_rates() -> None:
    mock = NoisyMock(LABELS, sensitivity=0.9, specificity=0.7, position_bias=0.2)
    rates = {}
    for swapped in (False, True):
        answers = values(mock, questions(4000, swapped=swapped))
        rates[swapped] = [sum(answers[label::2]) / 2000 for label in (1, 0)]
    assert rates[False] == pytest.approx([0.9, 0.3], abs=0.03)
    assert rates[True] == pytest.approx([1.0, 0.5], abs=0.03)


def test_noise_is_the_same_every_time_and_differs_by_seed() -> None:
    planned = questions(100)
    first = values(NoisyMock(LABELS, 0.5, 0.5), planned)
    assert values(NoisyMock(LABELS, 0.5, 0.5, batch=1), planned[::-1])[::-1] == first
    assert values(NoisyMock(LABELS, 0.5, 0.5, seed=1), planned) != first
    assert NoisyMock(LABELS).identity != NoisyMock(LABELS, seed=1).identity


def test_a_run_can_be_replayed_only_after_it_was_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no backend.json"):
        open_backend(f"mock:replay:{tmp_path}")


def test_labels_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"item": "a", "content": 1, "style": 0}\n\n{"item": "b", "style": true}\n')
    assert read_right_answers(path) == {("a", "content"): 1, ("a", "style"): 0, ("b", "style"): 1}
    for wrong in ({"item": "a", "content": 2}, {"content": 1}, [1]):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match="line 1: expected an item with labels"):
            read_right_answers(path)
