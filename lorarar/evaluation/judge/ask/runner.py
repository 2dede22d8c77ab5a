"""Runner: it sends the missing questions in threads and stores every reply at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lorarar.evaluation.judge.ask.reply_log import ReplyLog, Shard, is_settled, read_replies
from lorarar.evaluation.judge.records import Backend, Question, Reply
from lorarar.storage import Stage, progress

# After this many failures in a row the server is taken to be down, and the run stops.
MAX_FAILURES_IN_A_ROW = 16
# After this many replies in a row that end before the answer, the run stops, since each of them is paid.
MAX_CUT_IN_A_ROW = 8
_CACHE = "replies.jsonl"


@dataclass
class Outcome:
    """The result of asking.

    Attributes:
        replies: All stored replies, by question id.
        asked: The number of calls.
        cached: Replies from the cache.
        failed: Calls without an answer.
        left: Questions that still have to be asked, or asked again.
        stopped: The reason for an early end, "" without one.
    """

    replies: dict[str, Reply]
    asked: int = 0
    cached: int = 0
    failed: int = 0
    left: int = 0
    stopped: str = ""


def run_questions(
    questions: Sequence[Question],
    backend: Backend,
    log: Path,
    *,
    refused: Mapping[str, str] | None = None,
    cache: Path | None = None,
    budget: int | None = None,
    stage: str = "ask the judge",
    shard: Shard | None = None,
) -> Outcome:
    """Ask every question that has no settled reply yet. Equal questions are asked once.

    Questions with the same reference follow each other: the beginnings of their requests are equal, and a server that
    caches prefixes encodes the reference once.

    Args:
        log: The file of replies.
        refused: The reasons why questions cannot be asked, by question id.
        cache: A folder of replies that several runs share.
        budget: The largest number of calls.
        stage: Name of the work beside the progress bar.
        shard: The share of the questions that this client asks, in a log of its own; None for all.

    Raises:
        OSError: The log cannot be written, or another run uses it.
    """
    questions = [q for q in questions if shard.has(q)] if shard else questions
    with ReplyLog(shard.log(log) if shard else log) as opened:
        work = _Work(Outcome(read_replies(log)), opened, budget=budget)
        missing = {q.id: q for q in questions if not is_settled(work.outcome.replies.get(q.id))}
        _refuse(missing, refused or {}, work)
        if cache is not None:
            _recall(missing, read_replies(cache / _CACHE), work)
        work.waiting.extend(sorted(missing.values(), key=lambda q: (q.axis, q.text, q.swapped, q.images[:1])))
        total = len({q.id for q in questions})
        with progress(stage, total, "questions") as advance:
            advance(total - len(missing))
            work.advance = advance
            _ask_all(backend, work)
    if cache is not None:
        _remember(cache, questions, work.outcome.replies)
    return work.finish(questions)


@dataclass
class _Work:
    """The state that the threads share, under one lock."""

    outcome: Outcome
    log: ReplyLog
    budget: int | None
    waiting: deque[Question] = field(default_factory=deque)
    failures_in_a_row: int = 0
    cut_in_a_row: int = 0
    advance: Stage | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count: int) -> list[Question]:
        """Take the next questions to ask; none when the run is to stop."""
        with self.lock:
            if self.outcome.stopped:
                return []
            if self.budget is not None:
                count = min(count, self.budget - self.outcome.asked)
                if count <= 0 and self.waiting:
                    self.outcome.stopped = "budget"
            questions = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
            self.outcome.asked += len(questions)
            return questions

    def keep(self, question: Question, reply: Reply) -> None:
        """Store a reply, then count it."""
        with self.lock:
            self.store(question, reply)
            self.outcome.failed += bool(reply.failure)
            self.failures_in_a_row = self.failures_in_a_row + 1 if reply.failure and not reply.invalid_input else 0
            self.cut_in_a_row = self.cut_in_a_row + 1 if reply.finish_reason == "length" else 0
            if self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                self.outcome.stopped = f"{MAX_FAILURES_IN_A_ROW} failures in a row, the last: {reply.failure}"
            elif self.cut_in_a_row >= MAX_CUT_IN_A_ROW:
                self.outcome.stopped = (
                    f"{MAX_CUT_IN_A_ROW} replies in a row were cut off before an answer: plan another run, and give "
                    "the model more tokens or less effort (?max_tokens=NUMBER&effort=low after the server's URL)"
                )
            if self.advance is not None:
                self.advance(note=f"{self.outcome.failed} failed" if self.outcome.failed else None)

    def store(self, question: Question, reply: Reply) -> None:
        """Store a reply in the log and in the outcome."""
        self.log.append(question, reply)
        self.outcome.replies[question.id] = reply

    def finish(self, questions: Sequence[Question]) -> Outcome:
        """Return the outcome with the number of questions that are left."""
        replies = self.outcome.replies
        self.outcome.left = len({q.id for q in questions if not is_settled(replies.get(q.id))})
        return self.outcome


def _refuse(missing: dict[str, Question], refused: Mapping[str, str], work: _Work) -> None:
    for key in [key for key in missing if key in refused]:
        work.store(missing.pop(key), Reply(failure=refused[key], invalid_input=True))


def _recall(missing: dict[str, Question], cached: Mapping[str, Reply], work: _Work) -> None:
    for key in [key for key in missing if key in cached]:
        work.store(missing.pop(key), cached[key])
        work.outcome.cached += 1


def _remember(cache: Path, questions: Sequence[Question], replies: Mapping[str, Reply]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    with ReplyLog(cache / _CACHE, wait=True) as log:
        stored = read_replies(cache / _CACHE)
        for key, question in {q.id: q for q in questions}.items():
            if key in replies and key not in stored and not replies[key].failure:
                log.append(question, replies[key])


def _ask_all(backend: Backend, work: _Work) -> None:
    workers = max(1, min(backend.concurrency, len(work.waiting)))
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_ask_until_done, backend, work) for _ in range(workers)]
        try:
            for future in futures:
                future.result()
        except BaseException:  # Ctrl-C or a full disk: store the replies in flight, ask nothing more
            work.outcome.stopped = work.outcome.stopped or "interrupted"
            raise


def _ask_until_done(backend: Backend, work: _Work) -> None:
    while batch := work.take(backend.batch):
        for question, reply in zip(batch, _ask(backend, batch), strict=True):
            work.keep(question, reply)


def _ask(backend: Backend, batch: Sequence[Question]) -> list[Reply]:
    try:
        replies = backend.ask(batch)
    except Exception as error:  # a fault of a back end must not lose the other replies
        replies = [Reply(failure=f"{type(error).__name__}: {error}") for _ in batch]
    if len(replies) != len(batch):
        return [Reply(failure=f"expected {len(batch)} replies, found {len(replies)}") for _ in batch]
    return replies
