"""lorarar.evaluation.judge.ask.runner: asks once, keeps everything, survives being killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.evaluation.judge.ask.backends.mocks import TruthMock, read_right_answers
from lorarar.evaluation.judge.ask.reply_log import Shard, log_files, read_replies
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.ask.runner import MAX_CUT_IN_A_ROW, MAX_FAILURES_IN_A_ROW, run_questions
from lorarar.evaluation.judge.judgement import report_run
from lorarar.evaluation.judge.plan import case_labels, plan_all
from lorarar.evaluation.judge.records import Question, Reply
from lorarar.evaluation.judge.run import run_judge
from tests.evaluation.judge.ask.slow_run import SlowMock, make_questions, run, write_questions
from tests.evaluation.judge.sample import planned_run


class Answers:
    """Answers by a function, and remembers what it was asked."""

    def __init__(self, reply: Callable[[Question], Reply], concurrency: int = 1, batch: int = 1) -> None:
        self.reply, self.concurrency, self.batch = reply, concurrency, batch
        self.asked: list[str] = []
        self.batches: list[int] = []

    identity = {"backend": "answers"}  # noqa: RUF012

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        self.asked += [question.id for question in questions]
        self.batches.append(len(questions))
        return [self.reply(question) for question in questions]


def yes(question: Question) -> Reply:
    return Reply("yes", "stop")


def test_everything_is_asked_once(tmp_path: Path) -> None:
    questions, backend = make_questions(10), Answers(yes, concurrency=3, batch=4)
    outcome = run_questions([*questions, *questions[:3]], backend, tmp_path / "log")
    assert sorted(backend.asked) == [q.id for q in questions]
    assert max(backend.batches) <= 4
    assert (outcome.asked, outcome.failed, outcome.left, outcome.stopped) == (10, 0, 0, "")
    assert read_replies(tmp_path / "log") == outcome.replies


def test_clients_share_a_folder_by_the_hash_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    questions = [replace(q, id=f"{number * 7919:016x}") for number, q in enumerate(make_questions(20))]
    backend = Answers(yes)
    for number in range(3):
        run_questions(questions, backend, tmp_path / "log.jsonl", shard=Shard(number, 4))
    assert len(set(backend.asked)) == len(backend.asked) < 20
    assert sorted(file.name for file in log_files(tmp_path / "log.jsonl")) == [f"log_{n}of4.jsonl" for n in (1, 2, 3)]
    left = run_questions(questions, backend, tmp_path / "log.jsonl")  # one client asks what the fourth did not
    assert sorted(backend.asked) == sorted(q.id for q in questions)
    assert left.replies == read_replies(tmp_path / "log.jsonl")


def test_questions_with_one_reference_follow_each_other(tmp_path: Path) -> None:
    questions = [replace(q, images=(f"r{number % 3}", "t")) for number, q in enumerate(make_questions(9))]
    backend = Answers(yes)
    run_questions(questions, backend, tmp_path / "log")
    order = {q.id: q.images[0] for q in questions}
    assert [order[asked] for asked in backend.asked] == ["r0"] * 3 + ["r1"] * 3 + ["r2"] * 3


def test_only_what_is_missing_is_asked_again(tmp_path: Path) -> None:
    questions = make_questions(6)
    kinds = [Reply("No"), Reply("Maybe"), Reply("", "length"), Reply(failure="HTTP 500"),
             Reply(failure="bad image", invalid_input=True), Reply("Yes")]  # fmt: skip
    first = run_questions(questions, Answers(lambda q: kinds[int(q.id[1:])]), tmp_path / "log")
    assert (first.asked, first.failed, first.left) == (6, 2, 1)
    backend = Answers(yes)
    second = run_questions(questions, backend, tmp_path / "log")
    assert backend.asked == ["q003"]
    assert (second.asked, second.failed, second.left) == (1, 0, 0)
    assert second.replies["q000"].text == "No"
    assert run_questions(questions, Answers(yes), tmp_path / "log").asked == 0


def test_refused_questions_are_never_asked(tmp_path: Path) -> None:
    backend = Answers(yes)
    outcome = run_questions(make_questions(3), backend, tmp_path / "log", refused={"q001": "no image"})
    assert backend.asked == ["q000", "q002"]
    assert outcome.replies["q001"] == Reply(failure="no image", invalid_input=True)
    assert (outcome.asked, outcome.left) == (2, 0)


def test_the_budget_holds(tmp_path: Path) -> None:
    questions = make_questions(10)
    for budget, left, stopped in ((3, 7, "budget"), (0, 7, "budget"), (7, 0, "")):
        backend = Answers(yes, concurrency=4, batch=2)
        outcome = run_questions(questions, backend, tmp_path / "log", budget=budget)
        assert (len(backend.asked), outcome.asked, outcome.left, outcome.stopped) == (budget, budget, left, stopped)


def test_runs_share_a_cache(tmp_path: Path) -> None:
    questions, cache = make_questions(4), tmp_path / "cache"
    run_questions(
        questions, Answers(lambda q: Reply(failure="x") if q.id == "q001" else yes(q)), tmp_path / "1", cache=cache
    )
    backend = Answers(yes)
    outcome = run_questions([*questions[:2], *make_questions(5)[4:]], backend, tmp_path / "2", cache=cache)
    assert backend.asked == ["q001", "q004"]  # failures are not cached
    assert (outcome.cached, outcome.asked) == (1, 2)
    assert run_questions(make_questions(5), Answers(yes), tmp_path / "3", cache=cache).cached == 5
    assert len((cache / "replies.jsonl").read_text().splitlines()) == 5


def broken(question: Question) -> Reply:
    raise RuntimeError("out of memory")


def test_a_fault_of_a_back_end_is_a_failure(tmp_path: Path) -> None:
    outcome = run_questions(make_questions(2), Answers(broken), tmp_path / "log")
    assert [reply.failure for reply in outcome.replies.values()] == ["RuntimeError: out of memory"] * 2
    backend = Answers(yes, batch=2)
    backend.ask = lambda questions: [Reply("yes")]
    outcome = run_questions(make_questions(2), backend, tmp_path / "2")
    assert {reply.failure for reply in outcome.replies.values()} == {"expected 2 replies, found 1"}


def test_a_server_that_has_gone_is_not_asked_on(tmp_path: Path) -> None:
    backend = Answers(lambda q: Reply(failure="HTTP 503"), concurrency=4)
    outcome = run_questions(make_questions(200), backend, tmp_path / "log")
    assert MAX_FAILURES_IN_A_ROW <= len(backend.asked) < MAX_FAILURES_IN_A_ROW + 4
    assert outcome.left == 200
    assert "failures in a row, the last: HTTP 503" in outcome.stopped
    mixed = Answers(lambda q: yes(q) if int(q.id[1:]) % 12 == 0 else Reply(failure="HTTP 503"))
    assert run_questions(make_questions(200), mixed, tmp_path / "2").asked == 200
    bad_images = Answers(lambda q: Reply(failure="bad image", invalid_input=True))
    assert run_questions(make_questions(200), bad_images, tmp_path / "3").asked == 200


def test_as_many_threads_as_a_back_end_allows(tmp_path: Path) -> None:
    gate = threading.Barrier(5)

    def reply(question: Question) -> Reply:
        gate.wait(timeout=20)  # passes only when five are here at once
        return Reply("yes")

    outcome = run_questions(make_questions(10), Answers(reply, concurrency=5), tmp_path / "log")
    assert outcome.failed == 0


def test_an_interruption_keeps_what_was_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Answers(yes)

    def interrupt(question: Question) -> Reply:
        if question.id == "q004":
            raise KeyboardInterrupt
        return Reply("yes")

    backend.reply = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_questions(make_questions(10), backend, tmp_path / "log")
    assert set(read_replies(tmp_path / "log")) == {"q000", "q001", "q002", "q003"}
    assert run_questions(make_questions(10), Answers(yes), tmp_path / "log").asked == 6


KILLS = 20
WRITTEN = ("verdicts.jsonl", "calibration.json", "results.json", "results.csv", "report.html")


def plan_slow_run(folder: Path) -> list[str]:
    """A planned folder with what `slow_run` needs; the ids of its questions."""
    run = planned_run(folder, seeds=6)
    setup = read_setup(run)
    labels = case_labels(run, setup) | read_right_answers(folder / "labels.jsonl")
    planned = plan_all(run, setup, SlowMock(run, labels, 0).identity)
    questions = [*planned.calibration.questions, *planned.main.questions]
    write_questions(run, questions, labels)
    return [question.id for question in questions]


def finish(run: Path) -> dict[str, bytes]:
    """Everything that is written when all answers are there."""
    setup = read_setup(run)
    labels = case_labels(run, setup) | read_right_answers(run.parent / "labels.jsonl")
    judged = run_judge(run, setup, SlowMock(run, labels, 0), "slow", uncalibrated=True)
    assert judged.outcome is not None
    assert judged.outcome.asked == 0
    report_run(run, setup)
    return {name: (run / name).read_bytes() for name in WRITTEN}


def test_killed_twenty_times_and_resumed(tmp_path: Path) -> None:
    ids = plan_slow_run(tmp_path / "killed")
    assert plan_slow_run(tmp_path / "whole") == ids
    folder, lot = tmp_path / "killed" / "run", random.Random(0)
    program, count = Path(__file__).with_name("slow_run.py"), len(set(ids))
    at_once = SlowMock.concurrency * SlowMock.batch
    asked, log = folder / "asked", folder / "log.jsonl"
    for _ in range(KILLS):
        answered, before = set(read_replies(log)), len(asked.read_text().splitlines())
        process = subprocess.Popen([sys.executable, str(program), str(folder), "0.004"])
        target = before + lot.randint(1, count // KILLS)
        while len(asked.read_bytes().splitlines()) < target and process.poll() is None:
            time.sleep(0.002)
        time.sleep(lot.random() * 0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed: make it slower"
        fresh = asked.read_text().splitlines()[before:]
        assert not answered & set(fresh), "asked although the answer was there"
        assert len(set(fresh) - set(read_replies(log))) <= at_once, "lost more than what was in flight"
    assert set(read_replies(log)) < set(ids)
    assert subprocess.run([sys.executable, str(program), str(folder), "0"], check=False).returncode == 0

    counts = Counter(asked.read_text().splitlines())
    assert set(counts) == set(ids)
    assert count <= counts.total() <= count + KILLS * at_once
    run(tmp_path / "whole" / "run", 0)
    assert finish(folder) == finish(tmp_path / "whole" / "run")


def test_the_bar_is_silent_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mock = TruthMock({(q.item, "content"): 1 for q in make_questions(3)})
    run_questions(make_questions(3), mock, tmp_path / "log")
    assert capsys.readouterr() == ("", "")


def test_replies_that_are_cut_off_stop_the_run(tmp_path: Path) -> None:
    backend = Answers(lambda q: Reply(text="", finish_reason="length"))
    outcome = run_questions(make_questions(200), backend, tmp_path / "log")
    assert len(backend.asked) == MAX_CUT_IN_A_ROW
    assert "cut off before an answer" in outcome.stopped
    mixed = Answers(lambda q: yes(q) if int(q.id[1:]) % 5 == 0 else Reply(text="", finish_reason="length"))
    assert run_questions(make_questions(50), mixed, tmp_path / "2").asked == 50
