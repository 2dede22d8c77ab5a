"""Reply log: replies on disk as JSON lines, only ever appended, and the verdicts that are parsed from them.

Each reply is one `write` of one line, so a killed process loses only the replies in flight. The disk is synchronised
once a second and at the end: a power failure can cost the last second.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Question, Reply, Verdict
from lorarar.storage import json_line, write_lines

_SYNC_SECONDS = 1.0


class ReplyLog:
    """An open log of replies, a context manager.

    A lock file beside the log, with the suffix ``.lock``, keeps other processes out. The caller synchronises the
    threads of its own process.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Open a log, or create it. A torn last line is closed, so that the next reply starts a line of its own.

        Args:
            wait: Wait for another process that has the log open, instead of raising an error.

        Raises:
            OSError: The log cannot be written, or another process has it open.
        """
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        self._synced = time.monotonic()
        try:
            self._lock.acquire(timeout=-1 if wait else 0)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                os.write(self._file, b"\n")
        except Timeout as error:
            os.close(self._file)
            raise OSError(f"{path} is in use by another run: wait for it, or judge into another folder") from error
        except OSError:
            self._close()
            raise

    def append(self, question: Question, reply: Reply) -> None:
        """Append one reply."""
        about = {"item": question.item, "axis": question.axis, "reference": question.reference}
        data = json_line({"question": question.id, **about, "reply": _plain(reply)}).encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._file, data) :]
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self._sync()

    def __enter__(self) -> ReplyLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._sync()
        finally:
            self._close()

    def _sync(self) -> None:
        os.fsync(self._file)
        self._synced = time.monotonic()

    def _close(self) -> None:
        os.close(self._file)
        self._lock.release()


@dataclass(frozen=True)
class Shard:
    """A share of the questions, by their hashes, for one of several clients of a run folder.

    Attributes:
        number: Number of the client, from 0.
        count: Number of clients.
    """

    number: int
    count: int

    def has(self, question: Question) -> bool:
        """Return whether a question is of this share."""
        return int(question.id[:16], 16) % self.count == self.number

    def log(self, path: Path) -> Path:
        """Return the log of this client, such as log_1of4.jsonl beside log.jsonl."""
        return path.with_name(f"{path.stem}_{self.number + 1}of{self.count}{path.suffix}")


def log_files(path: Path) -> list[Path]:
    """Return the logs of a run that exist: its own, then those of clients that had shares of the questions."""
    return [file for file in (path, *sorted(path.parent.glob(f"{path.stem}_*of*{path.suffix}"))) if file.is_file()]


def read_replies(path: Path) -> dict[str, Reply]:
    """Read the reply to each question, by question id; lines that a killed process left torn are skipped.

    The first answer to a question counts, whatever follows it. Of failures the last one counts. The logs of clients
    that had shares of the questions count as parts of the log.
    """
    replies: dict[str, Reply] = {}
    for part in log_files(path):
        with open(part, "rb") as file:
            for raw in file:
                entry = _parse_line(raw)
                if entry is None:
                    continue
                question, reply = entry
                if question not in replies or replies[question].failure:
                    replies[question] = reply
    return replies


def is_settled(reply: Reply | None) -> bool:
    """Return whether a question need not be asked again: it has an answer, or its input is invalid."""
    return reply is not None and (not reply.failure or reply.invalid_input)


def read_verdicts(questions: Sequence[Question], replies: Mapping[str, Reply]) -> dict[str, Verdict]:
    """Parse a verdict for each question; without a reply its state is "not_run"."""
    verdicts = {}
    for question in questions:
        if question.id in replies:
            verdicts[question.id] = parse_reply(replies[question.id], question)
        else:
            verdicts[question.id] = Verdict(question.id, "not_run", reason="not asked yet")
    return verdicts


def export_verdicts(path: Path, questions: Sequence[Question], verdicts: Mapping[str, Verdict]) -> None:
    """Write one line for each question, sorted and without times: equal replies give equal bytes."""
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


def _plain(reply: Reply) -> dict[str, Any]:
    """Return a reply without its empty fields; logarithms that JSON cannot hold are replaced by ones that it can."""
    top = [(token, max(-1e9, min(1e9, log)) if log == log else 1e9) for token, log in reply.top]
    return {key: value for key, value in asdict(replace(reply, top=tuple(top))).items() if value}


def _parse_line(raw: bytes) -> tuple[str, Reply] | None:
    try:
        entry = json.loads(raw)
        fields = entry["reply"]
        top = tuple((str(token), float(log)) for token, log in fields.get("top", ()))
        return str(entry["question"]), Reply(**{**fields, "top": top})
    except (ValueError, TypeError, KeyError):
        return None
