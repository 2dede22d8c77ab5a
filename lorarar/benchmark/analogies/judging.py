"""Judging of answers: a multimodal model is asked whether the change was made, and whether the rest was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lorarar.datasets import Axis, pixel_hash, save_image
from lorarar.evaluation.judge import Question
from lorarar.evaluation.judge.ask import read_verdicts, run_questions
from lorarar.evaluation.judge.ask.backends import BackendSettings, open_backend
from lorarar.storage import digest

_SHOWN = (
    "The second image was made from the first by a change. The fourth image was made from the third, and should show "
    "the same change. "
)
QUESTIONS = {
    "edited": _SHOWN + "Does the fourth image show that change of the third? Whether other things changed too does not "
    "matter. Answer with one word: yes or no.",
    "kept": _SHOWN + "Apart from that change, does the fourth image show everything as it is in the third? Whether the "
    "change was made does not matter. Answer with one word: yes or no.",
}
# Rows about which the right answers are known: yes to both questions about the truth, no to one about a copy.
_COPIES = {"edited": "copy of b", "kept": "copy of a'"}
_RIGHT = 0.8  # least share of right answers about the truth, and about the copies, as in `lorarar judge`
_AXIS: Mapping[str, Axis] = {"edited": "style", "kept": "content"}  # a record names one, which has no meaning here
_ENLARGED = 8  # models take 32 pixels for one or two patches

# Part and method -> images before, after, image and answer, (n, 4, 3, size, size) bytes.
Shown = Mapping[tuple[str, str], Tensor]
Votes = dict[tuple[str, str], NDArray[np.float64]]


def judge_answers(backend: str, shown: Shown, folder: Path) -> tuple[dict[str, Any], Votes]:
    """Ask a judge both questions about every answer, if it is right about answers whose truth is known.

    Every reply is kept; a further call asks only what is missing.

    Args:
        backend: Name of the back end, see `lorarar.evaluation.judge.ask.backends`.
        shown: What it is shown; the methods "truth", "copy of b" and "copy of a'" are asked about first.
        folder: Folder for the images and the replies.

    Returns:
        The judge with its shares of right answers, and for each part and method its votes (n, 2), 1 for yes and NaN
        where it did not decide; no votes where it was right too rarely.

    Raises:
        ValueError: The back end does not exist, or cannot be used.
        ConnectionError: The server does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    opened = open_backend(backend, BackendSettings(answer="yes_no"))
    questions = {key: _questions(images, folder, opened.identity) for key, images in shown.items()}

    def votes(methods: Sequence[str]) -> Votes:
        asked = {key: rows for key, rows in questions.items() if key[1] in methods}
        every = [question for rows in asked.values() for row in rows for question in row]
        outcome = run_questions(every, opened, folder / "log.jsonl")
        verdicts = read_verdicts(every, outcome.replies)
        values = {key: [[verdicts[q.id].value for q in row] for row in rows] for key, rows in asked.items()}
        return {key: np.array(rows, dtype=float).reshape(-1, len(QUESTIONS)) for key, rows in values.items()}

    right = _right(votes(["truth", *_COPIES.values()]))
    passed = all(share >= _RIGHT for shares in right.values() for share in shares.values())
    facts = {"judge": dict(opened.identity), "right answers": right, "passed": passed}
    return facts, votes([method for _, method in questions]) if passed else {}


def _questions(images: Tensor, folder: Path, identity: Mapping[str, Any]) -> list[list[Question]]:
    """Return both questions about each answer."""
    rows = []
    for four in images:
        kept = [_kept(image, folder) for image in four]
        paths, pixels = tuple(str(path) for path, _ in kept), tuple(key for _, key in kept)
        rows.append(
            [
                Question(
                    digest([text, pixels, dict(identity)]), name, _AXIS[name], "", "analogies", paths, pixels, text
                )
                for name, text in QUESTIONS.items()
            ]
        )
    return rows


def _kept(image: Tensor, folder: Path) -> tuple[Path, str]:
    """Write an image, (3, size, size) bytes, enlarged, unless it is there; return its path and its pixels' hash."""
    large = image.repeat_interleave(_ENLARGED, 1).repeat_interleave(_ENLARGED, 2)
    picture = Image.fromarray(large.permute(1, 2, 0).numpy())
    key = pixel_hash(picture)
    path = (folder / "images" / f"{key[:16]}.png").resolve()
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        save_image(picture, path)
    return path, key


def _right(votes: Votes) -> dict[str, dict[str, float]]:
    """Return the share of right answers to each question, about the truth and about copies; silence is not right."""
    shares: dict[str, dict[str, float]] = {}
    for i, name in enumerate(QUESTIONS):
        for method, answer in (("truth", 1), (_COPIES[name], 0)):
            given = np.concatenate([rows[:, i] for (_, row), rows in votes.items() if row == method])
            shares.setdefault(name, {})[method] = round(float((given == answer).mean()), 4)
    return shares
