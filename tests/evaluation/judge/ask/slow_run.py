"""A planned run with a slow judge, as a program that can be killed: python slow_run.py RUN SECONDS."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorarar.evaluation.judge.ask.backends.mocks import NoisyMock, RightAnswers
from lorarar.evaluation.judge.ask.runner import Outcome, run_questions
from lorarar.evaluation.judge.records import Question, Reply


def make_questions(count: int) -> list[Question]:
    return [Question(f"q{i:03}", f"i{i:03}", "content", "r", "m@1", ("a", "b"), ("", ""), "?") for i in range(count)]


class SlowMock:
    """Writes down what it is asked before it answers."""

    concurrency, batch = 3, 2

    def __init__(self, folder: Path, labels: RightAnswers, seconds: float) -> None:
        self.mock, self.seconds = NoisyMock(labels, sensitivity=0.95, specificity=0.95), seconds
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


def write_questions(run: Path, questions: Sequence[Question], labels: RightAnswers) -> None:
    """What is to be asked, so that asking needs no planning, with its right answers."""
    entries = [{**asdict(q), "label": labels[q.item, q.axis]} for q in questions]
    (run / "questions.json").write_text(json.dumps(entries))


def run(folder: Path, seconds: float) -> Outcome:
    entries = json.loads((folder / "questions.json").read_text())
    labels = {(entry["item"], entry["axis"]): entry.pop("label") for entry in entries}
    mock = SlowMock(folder, labels, seconds)
    try:
        return run_questions([Question(**entry) for entry in entries], mock, folder / "log.jsonl")
    finally:
        mock.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]), float(sys.argv[2]))
    heavy = {"torch", "transformers", "numpy", "openai"} & set(sys.modules)
    sys.exit(f"asking imported {heavy}" if heavy else 0)
