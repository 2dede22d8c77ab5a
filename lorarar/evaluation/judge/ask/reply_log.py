"""Replies on disk: JSON lines that are only ever appended to, and the verdicts that are read off them.

Each reply is one `write` of one line, so that a killed process loses what was in flight and nothing else. The disk is
told to keep it once a second and at the end: a power failure can cost the last second.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from lorarar.evaluation.judge.read.parsing import parse
from lorarar.evaluation.judge.records import Question, Reply, Verdict
from lorarar.storage import line, write_lines

_SYNC_SECONDS = 1.0


class ReplyLog:
    """An open log of replies. Usable as a context manager; not locked against threads: the caller does that."""

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Opens a log, which is made where there is none; a torn last line is closed, so that it stays apart.

        Args:
            wait: for another process that has it open, rather than to refuse.

        Raises:
            OSError: it cannot be written, or another process has it open.
        """
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._synced = time.monotonic()
        try:
            _lock(self._file, path, wait=wait)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                os.write(self._file, b"\n")
        except OSError:
            os.close(self._file)
            raise

    def append(self, question: Question, reply: Reply) -> None:
        """Adds one reply."""
        about = {"item": question.item, "axis": question.axis, "reference": question.reference}
        data = line({"question": question.id, **about, "reply": _plain(reply)}).encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._file, data) :]
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self._sync()

    def __enter__(self) -> ReplyLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sync()
        os.close(self._file)

    def _sync(self) -> None:
        os.fsync(self._file)
        self._synced = time.monotonic()


def read_replies(path: Path) -> dict[str, Reply]:
    """The reply to each question, by question id; lines that were torn by a kill are passed over.

    A reply stands once it is there: what fails later does not replace it. Of failures the last one counts.
    """
    found: dict[str, Reply] = {}
    if not path.is_file():
        return found
    with open(path, "rb") as file:
        for raw in file:
            entry = _entry(raw)
            if entry and (entry[0] not in found or found[entry[0]].failure):
                found[entry[0]] = entry[1]
    return found


def is_settled(reply: Reply | None) -> bool:
    """Whether asking again is needless: there is an answer, or the input itself is at fault."""
    return reply is not None and (not reply.failure or reply.invalid_input)


def read_verdicts(questions: Sequence[Question], replies: Mapping[str, Reply]) -> dict[str, Verdict]:
    """A verdict for every question; without reply its state is not_run."""
    return {
        q.id: parse(replies[q.id], q) if q.id in replies else Verdict(q.id, "not_run", reason="not asked yet")
        for q in questions
    }


def export_verdicts(path: Path, questions: Sequence[Question], verdicts: Mapping[str, Verdict]) -> None:
    """Writes one line a question, sorted and without times: equal replies give equal bytes."""
    entries = [
        {
            "question": question.id,
            "item": question.item,
            "axis": question.axis,
            "reference": question.reference,
            "swapped": question.swapped,
            "repeat": question.repeat,
            "perturbation": question.perturbation,
            **{key: value for key, value in asdict(verdicts[question.id]).items() if key != "question"},
        }
        for question in questions
    ]
    write_lines(path, sorted(entries, key=lambda e: (e["question"], e["item"], e["reference"])))


def _lock(file: int, path: Path, *, wait: bool) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one folder would ask twice, and harm nothing
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise OSError(f"{path} is in use by another run: wait for it, or judge into another folder") from error


def _plain(reply: Reply) -> dict[str, Any]:
    """A reply without what is empty; logarithms that JSON cannot hold become ones that it can."""
    top = [(token, max(-1e9, min(1e9, log)) if log == log else 1e9) for token, log in reply.top]
    return {key: value for key, value in asdict(replace(reply, top=tuple(top))).items() if value}


def _entry(raw: bytes) -> tuple[str, Reply] | None:
    try:
        read = json.loads(raw)
        fields = read["reply"]
        top = tuple((str(token), float(log)) for token, log in fields.get("top", ()))
        return str(read["question"]), Reply(**{**fields, "top": top})
    except (ValueError, TypeError, KeyError):
        return None
