"""lorarar.evaluation.judge.ask.backends.openai: hostile servers never become scores, and the key stays secret."""

from __future__ import annotations

import base64
import io
import json
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorarar.datasets.images import load_image, pixel_hash
from lorarar.evaluation.judge.ask.backends import encoding
from lorarar.evaluation.judge.ask.backends.openai import OpenAIBackend, Patience, open_openai
from lorarar.evaluation.judge.ask.runner import run_questions
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Answer, Question
from tests.evaluation.judge.ask.backends.server import (
    FakeServer,
    Handler,
    Play,
    answer,
    completion,
    drip,
    echo_key,
    echo_key_error,
    endless,
    error,
    hang,
    reset,
    send,
    serving,
    zipped,
)
from tests.evaluation.judge.sample import save_noise

CANARY = "sk-canary-4711/very+secret=="
QUICK = Patience(call=0.8, total=2.0, attempts=2)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORARAR_API_KEY", CANARY)
    monkeypatch.setattr("lorarar.evaluation.judge.ask.backends.retries.FIRST_WAIT", 0.01)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(answer()) as running:
        yield running


@pytest.fixture
def question(tmp_path: Path) -> Question:
    return ask_about(tmp_path, 0)


def ask_about(folder: Path, number: int, kind: Answer = "yes_no") -> Question:
    paths = [save_noise(folder / f"{number}_{side}.png", 2 * number + side) for side in (0, 1)]
    pixels = tuple(pixel_hash(load_image(path)) for path in paths)
    return Question(
        f"q{number}", f"i{number}", "content", "r", "mars2", tuple(map(str, paths)), pixels, "Same? yes or no", kind
    )


def opened(server: FakeServer, kind: Answer = "yes_no", patience: Patience = QUICK) -> OpenAIBackend:
    return open_openai("m", server.url, answer=kind, patience=patience, concurrency=4)


def asked(server: FakeServer, question: Question, *plays: Play) -> tuple[str, str, int]:
    """The verdict's state and reason, and the number of requests, when a server behaves like this."""
    backend = opened(server)
    server.plays.extend(plays)
    before = len(server.requests)
    (reply,) = backend.ask([question])
    verdict = parse_reply(reply, question)
    assert (verdict.value is None) == (verdict.state != "ok")
    return verdict.state, verdict.reason, len(server.requests) - before


def test_a_request_shows_the_pixels_and_the_text(server: FakeServer, question: Question) -> None:
    assert asked(server, question)[0] == "ok"
    request = server.requests[-1]
    (message,) = request["messages"]
    *images, text = message["content"]
    assert text == {"type": "text", "text": "Same? yes or no"}
    for part, path in zip(images, question.images, strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        sent = Image.open(io.BytesIO(base64.b64decode(data)))
        np.testing.assert_array_equal(np.asarray(sent), np.asarray(Image.open(path)))
    assert (request["temperature"], request["model"]) == (0, "m")
    assert server.headers[-1]["authorization"] == f"Bearer {CANARY}"


def test_a_server_that_takes_one_image_is_refused_before_any_question(server: FakeServer) -> None:
    server.default = error(400, "At most 1 image(s) may be provided in one request.")
    with pytest.raises(ValueError, match=r"refuses requests with two images \(HTTP 400.*At most 1 image.*two in a"):
        opened(server)
    assert all(len(request["messages"][0]["content"]) == 3 for request in server.requests)


@pytest.mark.parametrize(
    ("busy", "least"),
    [
        (lambda: error(429, retry_after="0.15"), 0.15),
        (lambda: error(429, retry_after_ms="150"), 0.15),
        (lambda: error(429, retry_after=formatdate(time.time() + 1.5, usegmt=True)), 0.4),
        (lambda: error(429), 0.0),
        (lambda: error(500), 0.0),
        (lambda: error(502), 0.0),
        (lambda: error(503, retry_after="nonsense"), 0.0),
        (lambda: reset, 0.0),
    ],
    ids=["seconds", "milliseconds", "date", "429", "500", "502", "503", "reset"],
)
def test_a_busy_server_is_asked_again(server: FakeServer, question: Question, busy, least: float) -> None:
    backend = opened(server, patience=Patience(call=5, total=20, attempts=3))
    server.plays.append(busy())
    (reply,) = backend.ask([question])
    assert reply.text == "Yes"
    assert len(server.requests) == 3  # the trial, the failure, the answer
    assert server.times[-1] - server.times[-2] >= least


def test_the_wait_of_one_call_delays_all_calls(server: FakeServer, tmp_path: Path) -> None:
    backend = opened(server, patience=Patience(call=20, total=20, attempts=3))
    server.plays.append(error(429, retry_after="0.8"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(backend.ask, [ask_about(tmp_path, 0)])
        ends = time.monotonic() + 10
        while not backend._free_at and time.monotonic() < ends:
            time.sleep(0.005)
        assert backend.ask([ask_about(tmp_path, 1)])[0].text == first.result()[0].text == "Yes"
    assert len(server.times) == 4  # the trial, the failure, two answers
    assert min(server.times[2:]) - server.times[1] >= 0.8


def test_a_wait_beyond_patience_holds_nobody(server: FakeServer, tmp_path: Path) -> None:
    backend = opened(server)
    server.plays.append(error(503, retry_after="3600"))
    replies = [backend.ask([ask_about(tmp_path, number)])[0] for number in range(2)]
    assert [bool(reply.failure) for reply in replies] == [True, False]
    assert replies[1].seconds < QUICK.call


@pytest.mark.parametrize(
    ("plays", "reason", "requests"),
    [
        ([error(429)] * 9, "HTTP 429", 2),
        ([error(503, retry_after="3600")], "HTTP 503", 1),
        ([error(400, "maximum context length is 4096 tokens")], "context length", 1),
        ([error(401)], "HTTP 401", 1),
        ([send(b"<html>busy</html>", kind="text/html")], "not JSON", 1),
        ([send(b'{"choices": [{"mess')], "not JSON", 1),
        ([send(b"[1]")], "not a JSON object", 1),
        ([send(b"[" * 100_000)], "not JSON", 1),
        ([send({"choices": []})], "no choices", 1),
        ([send({"choices": [None]})], "no choices", 1),
        ([send({"choices": [{"message": None}]})], "no message", 1),
        ([send({"error": {"message": "overloaded"}})], "overloaded", 1),
        ([answer(None)], "no content", 1),
        ([answer(7)], "no content", 1),
        ([answer(model="other")], "answered by 'other', not by 'fake-1'", 1),
        ([endless], "too long", 1),
        ([zipped], "compressed", 1),
        ([hang(1.2)] * 9, "Timeout", 2),
        ([drip(headers=True)] * 9, "Timeout", 2),
        ([drip(headers=False)] * 9, "Timeout", 2),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failure_is_no_score(
    server: FakeServer, question: Question, plays: list[Play], reason: str, requests: int
) -> None:
    state, actual, count = asked(server, question, *plays)
    assert state == "error"
    assert reason in actual
    assert count == requests


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (answer("Yes", finish="length"), "length"),
        (answer("Yes", finish="content_filter"), "content_filter"),
        (answer(None, finish="content_filter"), "content_filter"),
        (answer(""), "empty"),
        (answer("I cannot tell."), "no clear answer"),
        (send({**completion(), "choices": [{"message": {"content": None, "refusal": "No, I will not."}}]}), "refusal"),
    ],
)
def test_a_reply_without_answer_abstains(server: FakeServer, question: Question, play: Play, reason: str) -> None:
    state, actual, _ = asked(server, question, play)
    assert state == "abstain"
    assert reason in actual


def test_redirects_are_not_followed(server: FakeServer, question: Question) -> None:
    with serving(answer()) as other:
        state, reason, _ = asked(server, question, send(b"", 307, location=f"{other.url}/chat/completions"))
        assert state == "error"
        assert "307" in reason
        assert other.requests == []


LOG = math.log
SHAPES = {
    "chat": {
        "logprobs": {
            "content": [
                {"token": "\n", "logprob": 0.0, "top_logprobs": []},
                {
                    "token": "Yes",
                    "logprob": LOG(0.7),
                    "top_logprobs": [{"token": "Yes", "logprob": LOG(0.7)}, {"token": " no", "logprob": LOG(0.2)}],
                },
            ]
        }
    },
    "completions": {
        "logprobs": {
            "tokens": ["Yes", "."],
            "token_logprobs": [LOG(0.7), 0.0],
            "top_logprobs": [{"Yes": LOG(0.7), " no": LOG(0.2)}, None],
        }
    },
    "llama.cpp": {
        "completion_probabilities": [
            {"content": "Yes", "probs": [{"tok_str": "Yes", "prob": 0.7}, {"tok_str": " no", "prob": 0.2}]}
        ]
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_token_probabilities_in_three_shapes(shape: str, question: Question) -> None:
    with serving(answer("Yes", **SHAPES[shape])) as server:
        backend = opened(server)
        assert backend.identity["capabilities"]["logprobs"] == 20
        verdict = parse_reply(backend.ask([question])[0], question)
    assert verdict.p_yes == pytest.approx((0.7, 0.8))  # 0.1 is hidden
    assert verdict.value == 1


def test_a_server_without_token_probabilities_is_read_by_its_text(server: FakeServer, question: Question) -> None:
    backend = opened(server)
    assert backend.identity["capabilities"]["logprobs"] == 0
    backend.ask([question])
    assert "logprobs" not in server.requests[-1]
    assert len(server.requests) == 2  # one trial, one question


def test_probabilities_that_are_none_are_passed_over(question: Question) -> None:
    for broken in ({"content": [{"token": 7}]}, {"content": 3}, {"tokens": ["Yes"]}, "text", {"tokens": 1}):
        with serving(answer("Yes", logprobs=broken)) as server:
            assert opened(server).ask([question])[0].top == ()


def picky(words: str) -> Play:
    def play(handler) -> None:
        request = handler.server.requests[-1]
        if words in json.dumps(request):
            error(400, f"unknown parameter {words}")(handler)
        else:
            answer('{"same": true, "leak": false, "copy": false}')(handler)

    return play


@pytest.mark.parametrize(
    ("words", "kind", "expected"),
    [
        ("logprobs", "yes_no", {"logprobs": 0}),
        ("temperature", "yes_no", {"temperature": False}),
        ("response_format", "json", {"structured": False}),
    ],
)
def test_what_a_server_refuses_is_left_out(
    words: str, kind: Answer, expected: dict[str, object], tmp_path: Path
) -> None:
    with serving(picky(words)) as server:
        backend = opened(server, kind)
        assert backend.identity["capabilities"].items() >= expected.items()
        tried = len(server.requests)
        backend.ask([ask_about(tmp_path, 0, kind)])
        assert words not in json.dumps(server.requests[-1])
        again = open_openai("m", server.url, answer=kind, recorded=backend.identity, patience=QUICK)
        assert again.identity == backend.identity
        assert len(server.requests) == tried + 1  # what is recorded is not tried again


def test_structured_output_is_asked_for(tmp_path: Path) -> None:
    with serving(answer('{"same": true, "leak": false, "copy": true}')) as server:
        question = ask_about(tmp_path, 0, "json")
        verdict = parse_reply(opened(server, "json").ask([question])[0], question)
        assert server.requests[-1]["response_format"]["json_schema"]["schema"]["required"] == ["same", "leak", "copy"]
    assert (verdict.value, verdict.details) == (1.0, {"leak": False, "copy": True})


def test_the_length_parameter_of_newer_models(tmp_path: Path) -> None:
    def play(handler) -> None:
        old = "max_tokens" in handler.server.requests[-1]
        (error(400, "use 'max_completion_tokens' instead of 'max_tokens'") if old else answer())(handler)

    with serving(play) as server:
        assert opened(server).ask([ask_about(tmp_path, 0)])[0].text == "Yes"
        assert server.requests[-1]["max_completion_tokens"] == 64


def test_servers_that_cannot_be_used(server: FakeServer) -> None:
    server.default = error(503)
    with pytest.raises(ConnectionError, match="found none that answers .HTTP 503"):
        opened(server)
    server.default = error(401, "wrong key")
    with pytest.raises(ValueError, match="expected a server that accepts the key, found HTTP 401"):
        opened(server)
    server.default = error(400, "images are not supported")
    with pytest.raises(ValueError, match="images are not supported"):
        opened(server)
    with pytest.raises(ConnectionError, match="found none that answers .no response"):
        open_openai("m", "http://127.0.0.1:9", patience=QUICK)


def thinking(tokens: int) -> Play:
    """Answer only where the reply may have this many tokens, as a model that thinks first."""

    def play(handler: Handler) -> None:
        cut = handler.server.requests[-1]["max_tokens"] < tokens
        answer("" if cut else "Yes", finish="length" if cut else "stop")(handler)

    return play


def test_a_model_that_thinks_gets_more_tokens(server: FakeServer, question: Question) -> None:
    server.default = thinking(900)
    backend = opened(server)
    assert backend.capabilities.max_tokens == 4096
    assert backend.ask([question])[0].text == "Yes"
    assert [request["max_tokens"] for request in server.requests] == [64, 4096, 4096]
    again = open_openai("m", server.url, patience=QUICK, recorded=dict(backend.identity))
    assert again.capabilities == backend.capabilities
    assert len(server.requests) == 3


def test_a_dead_server_gets_one_request_for_each_further_question(server: FakeServer, tmp_path: Path) -> None:
    backend = opened(server, patience=Patience(call=0.4, total=20.0, attempts=6))
    before = len(server.requests)
    server.plays.extend([hang(0.7)] * 3)
    counts = []
    for number in range(4):
        (reply,) = backend.ask([ask_about(tmp_path, number)])
        counts.append((len(server.requests) - before, bool(reply.failure)))
    # Two requests that time out, one more for the next question, and then the server is back.
    assert counts == [(2, True), (3, True), (4, False), (5, False)]


def test_long_replies_have_more_time(server: FakeServer, question: Question) -> None:
    assert Patience().for_tokens(0) == Patience().for_tokens(1000) == Patience()
    assert (Patience().for_tokens(16384).call, Patience().for_tokens(16384).total) == (819.2, 1638.4)
    server.default = hang(1.2)
    with pytest.raises(ConnectionError, match="found none that answers"):
        open_openai("m", server.url, patience=QUICK)
    backend = open_openai("m", f"{server.url}?max_tokens=60", patience=QUICK)
    assert backend.ask([question])[0].text == "Yes"


def test_tokens_and_effort_of_the_user(server: FakeServer, question: Question) -> None:
    server.default = thinking(900)
    backend = open_openai("m", f"{server.url}?max_tokens=1000&effort=low", patience=QUICK)
    assert backend.ask([question])[0].text == "Yes"
    assert server.requests[-1]["reasoning_effort"] == "low"
    assert backend.identity["url"] == server.url
    with pytest.raises(ValueError, match=r"within 500 tokens, found one that is cut off there"):
        open_openai("m", f"{server.url}?max_tokens=500", patience=QUICK)
    server.default = thinking(100_000)
    with pytest.raises(ValueError, match=r"within 16384 tokens.*effort=low"):
        opened(server)


def test_the_key_stays_secret(server: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    backend = opened(server)
    backend.served = "fake-1 Bearer [key]"
    server.plays.extend([echo_key, echo_key_error, send(f"x {CANARY}".encode()), echo_key])
    questions = [ask_about(tmp_path, number) for number in range(4)]
    backend.concurrency = 1
    outcome = run_questions(questions, backend, tmp_path / "log.jsonl")
    assert [bool(outcome.replies[q.id].failure) for q in questions] == [False, True, True, False]
    assert outcome.replies["q0"].text == "Yes Bearer [key]"
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    shown = "".join([*capfd.readouterr(), repr(backend), repr(outcome), json.dumps(dict(backend.identity))])
    for part in (CANARY, CANARY[:12]):
        assert part.encode() not in written
        assert part not in shown


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/v1", "would be sent unencrypted"),
        ("http://127.0.0.1.example.org/v1", "would be sent unencrypted"),
        ("ftp://localhost/v1", "expected the URL"),
        ("localhost:8000", "expected the URL"),
        ("https://user:pw@example.org/v1", "without credentials"),
        ("https://example.org/v1?key=1", "expected the settings max_tokens and effort"),
        ("https://example.org/v1?max_tokens=many", "expected settings such as"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        open_openai("m", url)
    assert CANARY not in str(caught.value)


def test_without_a_key_any_host_may_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORARAR_API_KEY", "")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)  # the first variable that is set counts
    with pytest.raises(ConnectionError):
        open_openai("m", "http://host.invalid/v1", patience=QUICK)


def test_images_are_prepared_while_the_server_is_busy(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened(server, patience=Patience(call=20, total=20))
    free, encoded, real = threading.Event(), [], encoding.data_uri
    monkeypatch.setattr(encoding, "data_uri", lambda image: encoded.append(image) or real(image))
    before = len(server.requests)

    def wait(handler: Handler) -> None:
        assert free.wait(20)
        answer()(handler)

    server.default = wait
    questions = [ask_about(tmp_path, number) for number in range(12)]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_questions, questions, backend, tmp_path / "log.jsonl")
        ends = time.monotonic() + 10
        while len(encoded) < 16 and time.monotonic() < ends:
            time.sleep(0.01)
        asked = len(server.requests) - before
        free.set()
        assert len(encoded) >= 16  # of eight questions
        assert asked <= 4  # as many as it is meant to get at once
        assert (running.result().asked, running.result().failed) == (12, 0)


def test_waiting_for_a_place_takes_nothing_off_a_calls_time(server: FakeServer, tmp_path: Path) -> None:
    backend = opened(server, patience=Patience(call=1.6, total=10, attempts=1))
    server.default = hang(1.0)
    outcome = run_questions([ask_about(tmp_path, number) for number in range(8)], backend, tmp_path / "log.jsonl")
    assert (outcome.asked, outcome.failed) == (8, 0)
    assert all(reply.seconds < 1.6 for reply in outcome.replies.values())


def test_a_changed_image_is_not_sent(server: FakeServer, question: Question) -> None:
    save_noise(Path(question.images[1]), 99)
    state, reason, count = asked(server, question)
    assert (state, count) == ("invalid_input", 0)
    assert "changed" in reason


def test_counts_add_up_whatever_happens(server: FakeServer, tmp_path: Path) -> None:
    backend = opened(server)
    bad = [error(400), reset, reset, reset, endless, answer(None), answer("Maybe"), send(b"<p>"), answer(model="b")]
    server.plays.extend(bad)
    questions = [ask_about(tmp_path, number) for number in range(20)]
    outcome = run_questions(questions, backend, tmp_path / "log.jsonl")
    states = [parse_reply(outcome.replies[q.id], q).state for q in questions]
    assert outcome.asked == len(states) == 20
    assert outcome.failed == outcome.left == states.count("error")
    assert 5 <= states.count("error") <= 8
    assert states.count("abstain") == 1
    assert states.count("ok") + states.count("error") + 1 == 20
    again = run_questions(questions, backend, tmp_path / "log.jsonl")
    assert (again.asked, again.failed, again.left) == (outcome.failed, 0, 0)
