"""lorarar.evaluation.judge.ask.reply_log: appended replies, torn lines, repeated questions and the lock."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lorarar.evaluation.judge.ask.reply_log import ReplyLog, export_verdicts, is_settled, read_replies, read_verdicts
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Question, Reply


def about(number: int) -> Question:
    return Question(f"q{number}", f"i{number}", "style", "ink/0.png", "m@1", ("a", "b"), ("", ""), "?")


ODD = Reply(
    "Yes \u2028\n\ud800 \U0001f431", "stop", (("yes", -0.1), ("no", -math.inf)), True, model="m", usage={"n": 3}
)


def test_replies_come_back_as_they_were(tmp_path: Path) -> None:
    with ReplyLog(tmp_path / "log") as log:
        log.append(about(0), ODD)
        log.append(about(1), Reply(failure="HTTP 500", seconds=1.5))
    replies_read = read_replies(tmp_path / "log")
    assert replies_read["q1"] == Reply(failure="HTTP 500", seconds=1.5)
    assert replies_read["q0"].text == ODD.text
    assert parse_reply(replies_read["q0"], about(0)) == parse_reply(ODD, about(0))
    assert len((tmp_path / "log").read_bytes().split(b"\n")) == 3
    entry = json.loads((tmp_path / "log").read_bytes().split(b"\n")[0])
    assert (entry["item"], entry["axis"], entry["reference"]) == ("i0", "style", "ink/0.png")


def test_no_log_holds_nothing(tmp_path: Path) -> None:
    assert read_replies(tmp_path / "log") == {}


@pytest.mark.parametrize("log", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_mean_the_same_afterwards(log: float, tmp_path: Path) -> None:
    reply = Reply("No", "stop", (("yes", log), ("no", 0.0)))
    with ReplyLog(tmp_path / "log") as opened:
        opened.append(about(0), reply)
    assert parse_reply(read_replies(tmp_path / "log")["q0"], about(0)) == parse_reply(reply, about(0))


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with ReplyLog(path) as log:
        for number in range(3):
            log.append(about(number), Reply("yes"))
    whole = path.read_bytes()
    last = len(whole.split(b"\n")[2]) + 1
    for cut in range(1, last + 1):
        path.write_bytes(whole[:-cut])
        assert set(read_replies(path)) == {"q0", "q1"} | ({"q2"} if cut == 1 else set())
        with ReplyLog(path) as log:
            log.append(about(3), Reply("no"))
        assert set(read_replies(path)) >= {"q0", "q1", "q3"}


def test_garbage_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'\xff\xfe\n[]\n{"question": "q"}\n{"question": "q", "reply": {"colour": 1}}\n\n"x"\n')
    assert read_replies(path) == {}


def test_an_answer_stands_and_the_last_failure_counts(tmp_path: Path) -> None:
    with ReplyLog(tmp_path / "log") as log:
        for reply in (Reply(failure="a"), Reply(failure="b"), Reply("No"), Reply("Yes"), Reply(failure="c")):
            log.append(about(0), reply)
        log.append(about(1), Reply(failure="a"))
        log.append(about(1), Reply(failure="b"))
    replies_read = read_replies(tmp_path / "log")
    assert replies_read["q0"].text == "No"
    assert replies_read["q1"].failure == "b"


def test_what_is_settled() -> None:
    assert is_settled(Reply("No"))
    assert is_settled(Reply(""))  # an abstention
    assert is_settled(Reply(failure="no image", invalid_input=True))
    assert not is_settled(Reply(failure="HTTP 500"))
    assert not is_settled(None)


def test_two_runs_cannot_use_one_log(tmp_path: Path) -> None:
    with ReplyLog(tmp_path / "log"), pytest.raises(OSError, match="in use by another run"):
        ReplyLog(tmp_path / "log")
    ReplyLog(tmp_path / "log").__exit__(None, None, None)


def test_verdicts_are_exported_sorted_and_without_times(tmp_path: Path) -> None:
    asked = [about(2), about(0), about(1)]
    for seconds in (1.0, 2.0):
        replies = {"q0": Reply("Yes", seconds=seconds), "q2": Reply(failure="HTTP 500", seconds=seconds)}
        verdicts = read_verdicts(asked, replies)
        assert [verdicts[f"q{i}"].state for i in range(3)] == ["ok", "not_run", "error"]
        export_verdicts(tmp_path / f"{seconds}", asked[:: int(seconds) * 2 - 3], verdicts)
    lines = [json.loads(line) for line in (tmp_path / "1.0").read_text().splitlines()]
    assert [line["question"] for line in lines] == ["q0", "q1", "q2"]
    assert lines[0] == {
        "question": "q0", "item": "i0", "axis": "style", "reference": "ink/0.png", "swapped": False,
        "repeat": 0, "perturbation": "", "state": "ok", "value": 1.0, "p_yes": None, "reason": "", "details": {},
    }  # fmt: skip
    assert (tmp_path / "1.0").read_bytes() == (tmp_path / "2.0").read_bytes()


def test_a_run_may_wait_for_another(tmp_path: Path) -> None:
    log = ReplyLog(tmp_path / "log")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ReplyLog, tmp_path / "log", wait=True)
        time.sleep(0.1)
        assert not waiting.done()
        log.__exit__(None, None, None)
        with waiting.result(timeout=10) as second:
            second.append(about(0), Reply("yes"))
    assert set(read_replies(tmp_path / "log")) == {"q0"}
