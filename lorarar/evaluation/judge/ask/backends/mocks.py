"""Mock back ends, which use no image: for tests, for trying a set-up, and for measuring the statistics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import AXES
from lorarar.evaluation.judge.ask.reply_log import read_replies
from lorarar.evaluation.judge.records import Question, Reply

RightAnswers = Mapping[tuple[str, str], int]  # (item, axis) -> 1 or 0


def read_right_answers(path: Path) -> dict[tuple[str, str], int]:
    """Read right answers from JSON lines such as {"item": "direct/cat+ink/0", "content": 1, "style": 0}.

    For a pairwise rubric 1 means that the first of the two items is better.

    Raises:
        ValueError: A line has another form.
    """
    answers: dict[tuple[str, str], int] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not text.strip():
            continue
        entry = json.loads(text)
        labelled = isinstance(entry, dict) and "item" in entry
        if not labelled or any(entry.get(axis, 0) not in (0, 1) for axis in AXES):
            raise ValueError(f"{path}, line {number}: expected an item with labels 0 or 1, found {text:.80}")
        answers |= {(entry["item"], axis): int(entry[axis]) for axis in AXES if axis in entry}
    return answers


def phrase_answer(question: Question, yes: bool) -> str:
    """Return an answer in the form that a question requires."""
    if question.answer == "scale":
        return "4" if yes else "0"
    if question.answer == "json":
        return json.dumps({"same": yes, "leak": False, "copy": False})
    if question.answer == "pairwise":
        return "A" if yes is not question.swapped else "B"
    return "yes" if yes else "no"


@dataclass(frozen=True)
class TruthMock:
    """A back end with the right answers."""

    labels: RightAnswers
    concurrency: int = 1
    batch: int = 16

    @property
    def identity(self) -> Mapping[str, Any]:
        """The name alone; the labels belong to the items."""
        return {"backend": "mock:truth"}

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """Return the labels as replies."""
        return [_reply(question, self.labels.get((question.item, question.axis))) for question in questions]


@dataclass(frozen=True)
class NoisyMock:
    """A back end with wrong answers at given rates; the same question always has the same answer.

    Attributes:
        sensitivity: The share of yes where yes is right.
        specificity: The share of no where no is right.
        position_bias: Added to the probability of yes when the test image comes first.
    """

    labels: RightAnswers
    sensitivity: float = 0.9
    specificity: float = 0.9
    position_bias: float = 0.0
    seed: int = 0
    concurrency: int = 1
    batch: int = 16

    @property
    def identity(self) -> Mapping[str, Any]:
        """The rates and the seed."""
        return {
            "backend": "mock:noisy",
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
            "position_bias": self.position_bias,
            "seed": self.seed,
        }

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """Return the labels with errors as replies."""
        return [_reply(question, self._answer(question)) for question in questions]

    def _answer(self, question: Question) -> int | None:
        label = self.labels.get((question.item, question.axis))
        if label is None:
            return None
        p_yes = self.sensitivity if label else 1 - self.specificity
        draw = hashlib.sha256(f"{self.seed}/{question.id}".encode()).digest()[:8]
        return int(int.from_bytes(draw, "big") / 2**64 < p_yes + self.position_bias * question.swapped)


@dataclass(frozen=True)
class ReplayMock:
    """A back end with the replies of an earlier run, for equal questions."""

    replies: Mapping[str, Reply]
    recorded: Mapping[str, Any]
    concurrency: int = 1
    batch: int = 16

    @property
    def identity(self) -> Mapping[str, Any]:
        """The identity of the recorded back end, so that equal questions have equal ids."""
        return self.recorded

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """Return the recorded replies."""
        missing = Reply(failure="the replayed run has no reply to this question")
        return [self.replies.get(question.id, missing) for question in questions]


def open_replay(run: Path) -> ReplayMock:
    """Open the replies of a run folder.

    Raises:
        ValueError: The folder holds no run.
    """
    recorded = run / "backend.json"
    if not recorded.is_file():
        raise ValueError(
            f"expected the folder of a finished judging run at {run}, found no backend.json in it: check the path"
        )
    return ReplayMock(read_replies(run / "log.jsonl"), json.loads(recorded.read_text(encoding="utf-8"))["identity"])


def _reply(question: Question, answer: int | None) -> Reply:
    if answer is None:
        return Reply(failure=f"expected a {question.axis} label for {question.item}, found none")
    return Reply(text=phrase_answer(question, bool(answer)), finish_reason="stop", model="mock")
