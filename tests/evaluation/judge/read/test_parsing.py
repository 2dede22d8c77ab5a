"""lorarar.evaluation.judge.read.parsing: a corpus of replies, token probabilities, and random replies."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Answer, Question, Reply, Verdict

ANSWERS = [form for form in get_args(Answer) if form != "text"]  # a text is no verdict

CORPUS = yaml.safe_load((Path(__file__).parent / "replies.yaml").read_text(encoding="utf-8"))


SECOND = yaml.safe_load((Path(__file__).parent / "replies_second.yaml").read_text(encoding="utf-8"))


def about(answer: Answer = "yes_no") -> Question:
    return Question("q", "i", "content", "r", "mars2", ("a", "b"), ("", ""), "Same?", answer)


def read(text: str = "", answer: Answer = "yes_no", finish: str = "stop", **more: object) -> Verdict:
    return parse_reply(Reply(text=text, finish_reason=finish, **more), about(answer))


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 700
    assert {row["answer"] for row in CORPUS} == set(ANSWERS)


@pytest.mark.parametrize("row", CORPUS, ids=lambda row: f"{row['answer']}-{row['text']!r:.40}")
def test_the_corpus_is_read_as_labelled(row: dict[str, object]) -> None:
    verdict = read(row["text"], row["answer"])
    if row["expected"] is None:
        assert (verdict.state, verdict.value) == ("abstain", None)
        assert verdict.reason
    else:
        assert verdict.state == "ok"
        assert verdict.value == row["expected"] / (4 if row["answer"] == "scale" else 1)


def test_no_vote_against_a_label_of_the_second_set() -> None:
    """Replies that were labelled before this parser read them; what it does not understand abstains."""
    agreed, sure = 0, [row for row in SECOND if row["sure"]]
    for row in sure:
        verdict = read(row["text"], row["answer"])
        value = None if verdict.value is None else verdict.value * (4 if row["answer"] == "scale" else 1)
        assert value in (None, row["expected"]), row["text"]
        agreed += value == row["expected"]
    assert len(sure) >= 200
    assert agreed >= 0.75 * len(sure)


def test_flags_are_kept() -> None:
    verdict = read('{"same": true, "leak": true, "copy": false}', "json")
    assert (verdict.value, verdict.details) == (1.0, {"leak": True, "copy": False})


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal", "tool_calls", "error", "nonsense"])
def test_the_finish_reason_comes_first(finish: str) -> None:
    verdict = read("Yes", finish=finish, top=(("yes", 0.0),), complete=True)
    assert (verdict.state, verdict.value) == ("abstain", None)
    assert finish in verdict.reason


def test_failures_are_no_answers() -> None:
    assert read("Yes", failure="HTTP 500").state == "error"
    assert read("Yes", failure="no image", invalid_input=True).state == "invalid_input"
    assert read("Yes", failure="HTTP 500").value is None


def tops(**probabilities: float) -> tuple[tuple[str, float], ...]:
    return tuple((token, math.log(p)) for token, p in probabilities.items())


def test_all_spellings_add_up() -> None:
    top = (("Yes", math.log(0.3)), (" yes", math.log(0.2)), ("\u2581YES", math.log(0.1)), ("\u0120no", math.log(0.2)))
    verdict = read("Yes", top=(*top, ("No.", math.log(0.1)), ("yesterday", math.log(0.1))), complete=True)
    assert verdict.p_yes == pytest.approx((2 / 3, 2 / 3))
    assert verdict.value == 1


@pytest.mark.parametrize(
    ("text", "top", "complete", "state", "bounds"),
    [
        ("Yes", tops(Yes=0.9), False, "ok", (0.9, 1.0)),  # no is hidden: it may be as much as 0.1
        ("No", tops(No=0.9), False, "ok", (0.0, 0.1)),
        ("Yes", tops(Yes=0.6, maybe=0.3), False, "ok", (0.6 / 0.7, 1.0)),
        ("Yes", tops(Yes=0.5), False, "abstain", None),  # either side may win
        ("Yes", tops(Yes=0.3, No=0.1, The=0.6), False, "abstain", None),  # less than half is an answer
        ("The", tops(Yes=0.3, No=0.1, The=0.6), True, "abstain", None),
        ("The", tops(Yes=0.45, No=0.15, The=0.4), True, "ok", (0.75, 0.75)),
        ("Yes", tops(Yes=0.5, No=0.5), True, "abstain", (0.5, 0.5)),
        ("Yes and no", tops(Yes=0.9, No=0.1), False, "abstain", (0.9, 0.9)),  # the text takes it back
        ("Yesterday", tops(Yes=0.9, No=0.1), False, "abstain", (0.9, 0.9)),
        ("No", tops(Yes=0.9, No=0.1), False, "abstain", (0.9, 0.9)),
    ],
)
def test_token_probabilities(text: str, top, complete: bool, state: str, bounds) -> None:
    verdict = read(text, top=top, complete=complete)
    assert verdict.state == state
    if bounds:
        assert verdict.p_yes == pytest.approx(bounds)


@pytest.mark.parametrize("log", [math.nan, math.inf, 0.5])
def test_what_are_no_probabilities_leaves_the_text(log: float) -> None:
    verdict = read("No", top=(("Yes", log),))
    assert (verdict.value, verdict.p_yes) == (0.0, None)
    assert read("No", top=(("Yes", 0.0), ("No", 0.0))).value == 0.0


def test_thoughts_are_not_the_answer() -> None:
    verdict = read("<think>No?</think>Yes", top=tops(**{"<think>": 1.0}))
    assert (verdict.value, verdict.p_yes) == (1.0, None)


def test_preferences_have_probabilities_too() -> None:
    verdict = read("B", "pairwise", top=tops(A=0.2, B=0.8), complete=True)
    assert (verdict.value, verdict.p_yes) == (0.0, pytest.approx((0.2, 0.2)))


replies = st.builds(
    Reply,
    text=st.one_of(st.text(), st.sampled_from([row["text"] for row in CORPUS]), st.from_regex(r"(?i)\W*(yes|no)\W.*")),
    finish_reason=st.sampled_from(["", "stop", "length"]),
    top=st.lists(st.tuples(st.one_of(st.text(), st.sampled_from(["yes", "no"])), st.floats()), max_size=4).map(tuple),
    complete=st.booleans(),
    failure=st.sampled_from(["", "x"]),
)


@settings(deadline=None)
@given(reply=replies, answer=st.sampled_from(ANSWERS))
def test_it_never_raises(reply: Reply, answer: Answer) -> None:
    verdict = parse_reply(reply, about(answer))
    assert (verdict.value is None) == (verdict.state != "ok")
    assert verdict.value is None or 0 <= verdict.value <= 1


@settings(deadline=None)
@given(reply=replies)
def test_never_yes_without_a_standalone_yes(reply: Reply) -> None:
    if parse_reply(reply, about()).value == 1:
        result = [reply.text, *(token for token, _ in reply.top if reply.complete)]
        assert any(re.search(r"(?<![^\W_])(?:yes|yep|yeah)(?![^\W_])", text.lower()) for text in result)


@pytest.mark.parametrize("answer", ANSWERS)
def test_long_replies_take_no_time(answer: Answer) -> None:
    for part in ("\n", " ", "yes ", "no, ", "[", "{", "``` ", '{"a":', "A, ", "*", "answer: "):
        for text in ("yes" + part * 50_000, part * 50_000):
            assert parse_reply(Reply(text=text), about(answer)).state in ("ok", "abstain")
