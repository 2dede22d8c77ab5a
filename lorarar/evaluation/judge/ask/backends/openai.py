"""OpenAI-compatible servers, local or hosted: vLLM, Ollama, llama.cpp and others.

The key comes from the environment (LORARAR_API_KEY, or else OPENAI_API_KEY) and is sent to the server only.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx2
from openai import APIConnectionError, APIStatusError, OpenAI, OpenAIError, RequestOptions
from PIL import Image

from lorarar.datasets import ImageError
from lorarar.evaluation.judge.ask.backends.capabilities import (
    Capabilities,
    ServerTrial,
    find_capabilities,
    read_server_settings,
)
from lorarar.evaluation.judge.ask.backends.completions import read_completion, scrub_reply
from lorarar.evaluation.judge.ask.backends.encoding import ImageEncoder, data_uri
from lorarar.evaluation.judge.ask.backends.redaction import Redactor
from lorarar.evaluation.judge.ask.backends.retries import RETRIED, backoff, retry_after
from lorarar.evaluation.judge.ask.backends.transport import LimitedTransport, ResponseRefused, is_loopback
from lorarar.evaluation.judge.records import Answer, Question, Reply

KEY_VARIABLES = ("LORARAR_API_KEY", "OPENAI_API_KEY")
MAX_RESPONSE_BYTES = 4 << 20
_AHEAD = 4  # questions with images that are encoded while the server answers others
_MAX_TOKENS: Mapping[Answer, int] = {"yes_no": 64, "scale": 64, "json": 256, "pairwise": 64, "text": 128}
_SLOWEST = 20.0  # tokens per second, for the time limit of long replies
_JSON: RequestOptions = {"headers": {"content-type": "application/json"}}
_FLAGS_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "boolean"} for name in ("same", "leak", "copy")},
    "required": ["same", "leak", "copy"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Patience:
    """Time limits of a server.

    Attributes:
        call: Seconds for one exchange; more where a reply may be long.
        total: Seconds for one question, including waits and further attempts; more where a reply may be long.
        attempts: The largest number of exchanges for one question.
        timeouts: The largest number of exchanges without a response in time for one question.
    """

    call: float = 60.0
    total: float = 300.0
    attempts: int = 6
    timeouts: int = 2

    def for_tokens(self, tokens: int) -> Patience:
        """Return the limits for replies of up to `tokens` tokens."""
        call = max(self.call, tokens / _SLOWEST)
        return replace(self, call=call, total=max(self.total, 2 * call))


@dataclass(frozen=True)
class _Exchange:
    """The result of one HTTP exchange.

    Attributes:
        status: The HTTP status, 0 without a response.
        again: Whether another attempt may help.
        late: Whether the time ran out.
        wait: The seconds that the server asks to wait; None where it does not say.
    """

    reply: Reply
    status: int
    again: bool = False
    late: bool = False
    wait: float | None = None


def open_openai(
    model: str,
    url: str,
    *,
    answer: Answer = "yes_no",
    concurrency: int | None = None,
    recorded: Mapping[str, Any] | None = None,
    patience: Patience | None = None,
) -> OpenAIBackend:
    """Connect to a server and find its capabilities, unless they are recorded.

    Args:
        url: The base, such as http://localhost:8000/v1. For models that think, it may end with settings:
            "?max_tokens=8192" (of a whole reply), "?effort=low", or both joined by "&".
        answer: The form of the answers.
        concurrency: The number of simultaneous calls; None is 8.
        recorded: The identity of an earlier start.

    Raises:
        ValueError: The URL is refused, the key would be sent unencrypted, or the server refuses requests.
        ConnectionError: The server does not answer.
    """
    key = _key()
    url, max_tokens, effort = read_server_settings(url)
    _check_url(url, key)
    backend = OpenAIBackend(model, url, key, answer, concurrency or 8, patience or Patience())
    if recorded and (recorded.get("model"), recorded.get("url"), recorded.get("answer")) == (model, url, answer):
        earlier = Capabilities(**recorded["capabilities"])
        if effort == earlier.effort and max_tokens in (0, earlier.max_tokens):
            backend.capabilities, backend.served = earlier, recorded["served"]
            return backend
    backend.capabilities, backend.served = find_capabilities(
        backend.attempt, answer, url=url, max_tokens=max_tokens, effort=effort
    )
    return backend


class OpenAIBackend:
    """A back end on a server; see `open_openai`.

    A reply by another model than the first one is a failure and does not vote; its text is kept. More threads may ask
    than there are simultaneous calls: the others encode images of the next questions. When the server asks one call to
    wait, all calls wait. When all attempts at a question stay without a response, the next questions have one attempt
    each until the server responds again, so that a run on a dead server ends soon.
    """

    batch = 1

    def __init__(self, model: str, url: str, key: str, answer: Answer, concurrency: int, patience: Patience) -> None:
        self.model, self.url, self.answer = model, url, answer
        self.concurrency, self._places = concurrency + _AHEAD, threading.Semaphore(concurrency)
        self.capabilities, self.served = Capabilities(), ""
        self._redactor, self._patience = Redactor(key), patience
        self._lot, self._encoder = random.Random(), ImageEncoder()
        self._free_at = 0.0  # when the server may be asked again, monotonic
        self._down = False  # whether all attempts at the last question stayed without a response
        transport = LimitedTransport(url, connections=concurrency, seconds=patience.call, max_bytes=MAX_RESPONSE_BYTES)
        http = httpx2.Client(transport=transport, follow_redirects=False, headers={"accept-encoding": "identity"})
        weakref.finalize(self, http.close)
        self._client = OpenAI(
            api_key=key or "none", base_url=url, max_retries=0, timeout=patience.call, http_client=http
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, server and parameters, without the key."""
        return {
            "backend": "openai",
            "model": self.model,
            "url": self.url,
            "served": self.served,
            "answer": self.answer,
            "max_tokens": self.capabilities.max_tokens or _MAX_TOKENS[self.answer],
            "capabilities": asdict(self.capabilities),
        }

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """Make one call for each question."""
        return [self._ask(question) for question in questions]

    def attempt(self, capabilities: Capabilities) -> ServerTrial:
        """Send one small request with two images, as every question has, to test capabilities."""
        images = [data_uri(Image.new("RGB", (64, 64), colour)) for colour in ("gray", "white")]
        request = _request(self.model, images, "Answer with one word: yes.", self.answer, capabilities)
        exchange = self._exchange_with_retries(request, capabilities.max_tokens)
        reply = exchange.reply
        cut = reply.finish_reason == "length"
        return ServerTrial(exchange.status, reply.failure, reply.model, bool(reply.top), cut)

    def _ask(self, question: Question) -> Reply:
        try:
            images = [self._encoder.encode(*image) for image in zip(question.images, question.pixels, strict=True)]
        except ImageError as error:
            return Reply(failure=str(error), invalid_input=True)
        request = _request(self.model, images, question.text, question.answer, self.capabilities)
        with self._places:
            start = time.monotonic()
            reply = replace(self._exchange_with_retries(request).reply, seconds=round(time.monotonic() - start, 4))
        if not reply.failure and reply.model != self.served:
            return replace(reply, failure=f"answered by {reply.model!r}, not by {self.served!r} as before")
        return reply

    def _exchange_with_retries(self, request: bytes, tokens: int | None = None) -> _Exchange:
        """Repeat an exchange while another attempt may help and time is left."""
        patience = self._patience.for_tokens(self.capabilities.max_tokens if tokens is None else tokens)
        ends, late = time.monotonic() + patience.total, 0
        for attempt in range(patience.attempts):
            time.sleep(max(0.0, min(self._free_at, ends) - time.monotonic()))
            exchange = self._exchange(request, patience.call)
            late += exchange.late
            wait = backoff(attempt, self._lot) if exchange.wait is None else exchange.wait
            self._down = self._down and exchange.status == 0
            last = attempt + 1 == patience.attempts or late == patience.timeouts or time.monotonic() + wait >= ends
            if not exchange.again or last or self._down:
                break
            if exchange.wait is None:
                time.sleep(wait)
            else:
                self._free_at = max(self._free_at, time.monotonic() + wait)
        self._down = exchange.status == 0 and exchange.again
        return replace(exchange, reply=scrub_reply(exchange.reply, self._redactor.clean))

    def _exchange(self, request: bytes, seconds: float) -> _Exchange:
        options: RequestOptions = {**_JSON, "timeout": seconds}
        try:
            # `chat.completions.create` would process the images again, which takes twice as long.
            response = self._client.post("/chat/completions", cast_to=httpx2.Response, content=request, options=options)
            reply = read_completion(self._redactor.clean_bytes(response.content), self.answer)
            return _Exchange(reply, response.status_code)
        except APIStatusError as error:
            status, headers = error.status_code, error.response.headers
            failure = Reply(failure=f"HTTP {status}: {self._redactor.clean(error.response.text)[:300]}")
            wait = retry_after(headers, time.time())
            return _Exchange(failure, status, again=status in RETRIED, wait=wait)
        except APIConnectionError as error:
            cause = error.__cause__ or error
            failure = Reply(failure=f"no response: {type(cause).__name__}: {self._redactor.clean(str(cause))}"[:300])
            late = isinstance(cause, httpx2.TimeoutException)
            return _Exchange(failure, 0, again=not isinstance(cause, ResponseRefused), late=late)
        except (OpenAIError, httpx2.HTTPError, ValueError) as error:
            return _Exchange(Reply(failure=f"{type(error).__name__}: {self._redactor.clean(str(error))}"[:300]), 0)


def _request(model: str, images: Sequence[str], text: str, answer: Answer, capabilities: Capabilities) -> bytes:
    """Return the body of a request. The images are base64, so they are inserted without escaping."""
    more: dict[str, Any] = {"model": model, capabilities.limit: capabilities.max_tokens or _MAX_TOKENS[answer]}
    if capabilities.effort:
        more["reasoning_effort"] = capabilities.effort
    if capabilities.temperature:
        more["temperature"] = 0
    if capabilities.logprobs:
        more |= {"logprobs": True, "top_logprobs": capabilities.logprobs}
    if capabilities.structured:
        schema = {"name": "flags", "strict": True, "schema": _FLAGS_SCHEMA}
        more["response_format"] = {"type": "json_schema", "json_schema": schema}
    parts = [f'{{"type": "image_url", "image_url": {{"url": "{image}"}}}}' for image in images]
    content = ", ".join([*parts, json.dumps({"type": "text", "text": text})])
    messages = f'{{"messages": [{{"role": "user", "content": [{content}]}}], '
    return (messages + json.dumps(more)[1:]).encode()


def _key() -> str:
    """Return the key of the first variable that is set; an empty one counts."""
    return next((os.environ[name].strip() for name in KEY_VARIABLES if name in os.environ), "")


def _check_url(url: str, key: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected the URL of a server such as http://localhost:8000/v1, found {url!r}")
    if parts.username or parts.password or parts.fragment:
        raise ValueError(f"expected a URL without credentials, found some: set {KEY_VARIABLES[0]} to the key")
    if key and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"{url}: expected https, since a key is set ({' or '.join(KEY_VARIABLES)}) and would be sent unencrypted: "
            f"use https, or set {KEY_VARIABLES[0]} to an empty text if the server needs no key"
        )
