"""lorarar.evaluation.judge.ask.backends.completions: any body becomes a reply; only a proper one becomes an answer."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorarar.evaluation.judge.ask.backends.completions import read_completion, scrub_reply
from lorarar.evaluation.judge.records import Reply
from tests.evaluation.judge.ask.backends.server import completion


def read(**more: object) -> Reply:
    return read_completion(json.dumps(completion(**more)).encode())


def test_a_proper_completion() -> None:
    assert read() == Reply("Yes", "stop", model="fake-1", usage={"prompt_tokens": 9})


def test_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "Ye"}, {"type": "other"}, 3, {"type": "text", "text": "s"}]
    assert read(content=parts).text == "Yes"
    assert read(content=[]).failure == "the message has no content"


def test_tokens_of_equal_text_add_up() -> None:
    top = [{"token": "yes", "logprob": math.log(0.3)}, {"token": "yes", "logprob": math.log(0.2)}]
    logprobs = {"content": [{"token": "yes", "logprob": math.log(0.3), "top_logprobs": top}]}
    assert read(logprobs=logprobs).top == (("yes", pytest.approx(math.log(0.5))),)


def test_the_chosen_token_counts_although_it_is_not_listed() -> None:
    entry = {"token": "Yes", "logprob": math.log(0.6), "top_logprobs": [{"token": "No", "logprob": math.log(0.3)}]}
    assert dict(read(logprobs={"content": [entry]}).top) == pytest.approx({"Yes": math.log(0.6), "No": math.log(0.3)})


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
