"""A run with a slow judge, as a program that can be killed: python slow_run.py FOLDER COUNT SECONDS."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorarar.judge.backends.mocks import NoisyMock
from lorarar.judge.records import Question, Reply
from lorarar.judge.runner import Outcome, run_questions


def make_questions(count: int) -> list[Question]:
    return [Question(f"q{i:03}", f"i{i:03}", "content", "r", "m@1", ("a", "b"), ("", ""), "?") for i in range(count)]


class SlowMock:
    """Writes down what it is asked before it answers."""

    concurrency, batch = 3, 2

    def __init__(self, folder: Path, count: int, seconds: float) -> None:
        labels = {(f"i{i:03}", "content"): i % 2 for i in range(count)}
        self.mock, self.seconds = NoisyMock(labels, sensitivity=0.8, specificity=0.7), seconds
        self.asked = os.open(folder / "asked", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.mock.identity

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        os.write(self.asked, b"".join(f"{question.id}\n".encode() for question in questions))
        time.sleep(self.seconds)
        return self.mock.ask(questions)

    def close(self) -> None:
        os.close(self.asked)


def run(folder: Path, count: int, seconds: float) -> Outcome:
    mock = SlowMock(folder, count, seconds)
    try:
        return run_questions(make_questions(count), mock, folder / "log.jsonl")
    finally:
        mock.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    heavy = {"torch", "transformers", "numpy", "openai"} & set(sys.modules)
    sys.exit(f"asking imported {heavy}" if heavy else 0)
