"""lorarar.evaluation.judge.ask.backends.completions: any body becomes a reply; only a proper one becomes an answer."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorarar.evaluation.judge.ask.backends.completions import read_completion, scrub_reply
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Answer, Question, Reply, Verdict
from tests.evaluation.judge.ask.backends.server import completion


def read(**more: object) -> Reply:
    return read_completion(json.dumps(completion(**more)).encode())


def test_a_proper_completion() -> None:
    assert read() == Reply("Yes", "stop", model="fake-1", usage={"prompt_tokens": 9})


def test_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "Ye"}, {"type": "other"}, 3, {"type": "text", "text": "s"}]
    assert read(content=parts).text == "Yes"
    assert read(content=[]).failure == "the message has no content"


def test_thoughts_in_parts_are_not_the_answer() -> None:
    thoughts = [{"type": kind, "text": "No, it is not. "} for kind in ("reasoning", "thinking", "summary_text")]
    assert read(content=[*thoughts, {"type": "output_text", "text": "Yes"}]).text == "Yes"
    assert read(content=[*thoughts, {"text": "Yes"}]).text == "Yes"
    assert read(content=thoughts).failure == "the message has no content"


def test_a_reply_that_ends_in_an_error_is_a_failure() -> None:
    assert read(finish="error").failure == "the server ended the reply with finish_reason error"


def test_counts_of_tokens_are_not_negative() -> None:
    body = completion() | {"usage": {"prompt_tokens": -9, "completion_tokens": 3, "cost": 0.1, "cached": True}}
    assert read_completion(json.dumps(body).encode()).usage == {"completion_tokens": 3}


def test_tokens_of_equal_text_add_up() -> None:
    top = [{"token": "yes", "logprob": math.log(0.3)}, {"token": "yes", "logprob": math.log(0.2)}]
    logprobs = {"content": [{"token": "yes", "logprob": math.log(0.3), "top_logprobs": top}]}
    assert read(logprobs=logprobs).top == (("yes", pytest.approx(math.log(0.5))),)


def test_the_chosen_token_counts_although_it_is_not_listed() -> None:
    entry = {"token": "Yes", "logprob": math.log(0.6), "top_logprobs": [{"token": "No", "logprob": math.log(0.3)}]}
    assert dict(read(logprobs={"content": [entry]}).top) == pytest.approx({"Yes": math.log(0.6), "No": math.log(0.3)})


def test_numbers_in_place_of_tokens_give_no_probabilities() -> None:
    top = [{"token": f"token_id:{number}", "logprob": -0.1} for number in (9693, 2152)]
    assert read(logprobs={"content": [{**top[0], "top_logprobs": top}]}) == read()


def test_marks_before_the_answer_are_passed_over() -> None:
    entries = [{"token": t, "logprob": 0.0, "top_logprobs": []} for t in (" **", "\n", "Yes", ".")]
    assert read(logprobs={"content": entries}).top == (("Yes", 0.0),)


def test_every_text_is_scrubbed() -> None:
    dirty = Reply("a key", "key", (("key", -1.0),), failure="key", model="key", usage={"key": 1})
    assert "key" not in repr(scrub_reply(dirty, lambda text: text.replace("key", "*")))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["content", "message", "choices", "logprobs", "token", "tokens", "top_logprobs", "logprob", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(choice=values, message=values, logprobs=values, body=values)
def test_any_json_is_survived(choice: object, message: object, logprobs: object, body: object) -> None:
    proper = {"message": {"content": "Yes"}, "logprobs": logprobs, "finish_reason": choice}
    for read in (body, {"choices": choice}, {"choices": [choice]}, {"choices": [{"message": message}]},
                 {"choices": [proper], "completion_probabilities": choice, "model": body, "usage": body}):  # fmt: skip
        reply = read_completion(json.dumps(read).encode())
        assert reply.failure or isinstance(reply.text, str)
        assert all(isinstance(token, str) and isinstance(log, float) for token, log in reply.top)


@given(st.binary())
def test_any_bytes_are_survived(body: bytes) -> None:
    assert read_completion(body).failure


def tokens(text: str, *pairs: tuple[str, dict[str, float]], answer: Answer = "yes_no") -> Verdict:
    """Return the verdict of a completion with this text and these tokens, each with its candidates."""
    content = [
        {
            "token": token,
            "logprob": math.log(candidates.get(token, 0.9)),
            "top_logprobs": [{"token": name, "logprob": math.log(p)} for name, p in candidates.items()],
        }
        for token, candidates in pairs
    ]
    choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": {"content": content}}
    reply = read_completion(json.dumps({"model": "m", "choices": [choice]}).encode(), answer)
    return parse_reply(reply, Question("q", "i", "content", "r", "mars2", (), (), "t", answer))


YES, NO = {"Yes": 0.9, "No": 0.08}, {"No": 0.95, "Yes": 0.04}


@pytest.mark.parametrize(
    ("text", "pairs", "value"),
    [
        ("Answer: Yes", [("Answer", {"Answer": 0.9}), (":", {}), (" Yes", {" Yes": 0.9, " No": 0.1})], 1.0),
        ("Yes", [("Y", {"Y": 0.97, "N": 0.02}), ("es", {"es": 1.0})], 1.0),
        ("Yes", [("<|im_start|>", {}), ("Yes", YES)], 1.0),
        # Servers with a thinking parser list the thoughts' tokens before those of the message.
        ("Yes", [("No", NO), ("</think>", {}), ("Yes", YES)], 1.0),
        ("No", [("Yes", YES), ("</think>", {}), ("No", NO)], 0.0),
        ("No", [("Yes", YES)], None),
        ("No doubt", [("No", NO), (" doubt", {})], None),
        ("Nope", [("No", NO), ("pe", {})], None),
        ("No, the second image is missing.", [("No", NO), (",", {})], None),
    ],
)
def test_probabilities_are_those_of_the_answer(
    text: str, pairs: list[tuple[str, dict[str, float]]], value: float | None
) -> None:
    verdict = tokens(text, *pairs)
    assert verdict.value == value
    assert verdict.state == ("abstain" if value is None else "ok")


def test_the_letter_of_a_preference_is_its_token() -> None:
    verdict = tokens("B", ("B", {"B": 0.8, "A": 0.2}), answer="pairwise")
    assert (verdict.value, verdict.p_yes) == (0.0, pytest.approx((0.2, 0.2)))


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [{"message": {"content": "Yes"}}, {"message": {"content": "No"}}]}',
        b'{"choices": [{"message": {"content": "Yes"}, "error": {"message": "overloaded"}}]}',
        b'{"choices": [{"message": {"content": "No", "content": "Yes"}}]}',
    ],
)
def test_what_a_server_sends_beside_the_answer_is_no_vote(body: bytes) -> None:
    reply = read_completion(body)
    assert reply.failure
    assert reply.text == ""
