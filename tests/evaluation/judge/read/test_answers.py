"""lorarar.evaluation.judge.read.answers: answers at the start of a text; the corpus of replies is in test_parsing."""

from __future__ import annotations

import pytest

from lorarar.evaluation.judge.read.answers import read_digit, read_letter, read_yes_no


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Yes.", True), ("**No**, it differs", False), ("Answer: yes", True), ("no \u2013 another cat", False),
     ("Yes and no", None), ("No doubt it is", None), ("I think yes", None), ("", None),
     ("No. 5 is different", None), ("Yes, but I cannot determine it", None)],
)  # fmt: skip
def test_yes_or_no(text: str, answer: bool | None) -> None:
    assert read_yes_no(text) is answer


@pytest.mark.parametrize(
    ("text", "answer"), [("A", True), ("Image B.", False), ("A or B", None), ("Both", None), ("a cat", None)]
)
def test_letters(text: str, answer: bool | None) -> None:
    assert read_letter(text) is answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [("3", 3), ("Score: 4/4", 4), ("2 out of 4.", 2), ("3.5", None), ("5", None), ("about 3", None), ("2.0", 2),
     ("4.0/4", 4), ("0.8", None), ("Feedback: it keeps its spots. [RESULT] 3", 3), ("<score>1</score>", 1),
     ("[RESULT] 3 or 4", None)],
)  # fmt: skip
def test_digits(text: str, answer: int | None) -> None:
    assert read_digit(text) == answer
