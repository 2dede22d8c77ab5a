"""Completions: from the body of an OpenAI-compatible server's response to a reply; a malformed body is a failure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lorarar.evaluation.judge.read.probabilities import spelling
from lorarar.evaluation.judge.records import Reply

Top = tuple[tuple[str, float], ...]


def read_completion(body: bytes) -> Reply:
    """Read the first choice of a chat completion. Never raises."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return Reply(failure=f"the response is not JSON: {body[:80]!r}")
    if not isinstance(read, dict):
        return Reply(failure="the response is not a JSON object")
    if read.get("error"):
        return Reply(failure=f"the server reports {json.dumps(read['error'])[:300]}")
    choices = read.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Reply(failure="the response has no choices")
    about = Reply(model=_text(read.get("model")), usage=_usage(read.get("usage")))
    return _read_choice(choices[0], read, about)


def scrub_reply(reply: Reply, clean: Callable[[str], str]) -> Reply:
    """Return the reply with all its texts cleaned."""
    return replace(
        reply,
        text=clean(reply.text),
        finish_reason=clean(reply.finish_reason),
        failure=clean(reply.failure),
        model=clean(reply.model),
        top=tuple((clean(token), log) for token, log in reply.top),
        usage={clean(name): count for name, count in reply.usage.items()},
    )


def _read_choice(choice: Mapping[str, Any], read: Mapping[str, Any], about: Reply) -> Reply:
    message = choice.get("message")
    if not isinstance(message, dict):
        return replace(about, failure="the response has no message")
    finish = _text(choice.get("finish_reason"))
    if refusal := _text(message.get("refusal")):
        return replace(about, text=refusal, finish_reason="refusal")
    content = _content(message.get("content"))
    if content is None and finish in ("", "stop"):
        return replace(about, failure="the message has no content")
    top = _first_answer(choice, read)
    return replace(about, text=content or "", finish_reason=finish, top=top)


def _content(content: Any) -> str | None:
    """Return the text of a message: a string, or a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) else None


def _first_answer(choice: Mapping[str, Any], read: Mapping[str, Any]) -> Top:
    """Return the candidates for the first token with a letter or digit; () where the server gives none."""
    try:
        positions = _positions(choice, read)
        return next((top for token, top in positions if spelling(token)), ())
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError):
        return ()


def _positions(choice: Mapping[str, Any], read: Mapping[str, Any]) -> list[tuple[str, Top]]:
    """Return each generated token with its candidates, from one of three formats: chat, completions, llama.cpp."""
    logs = choice.get("logprobs") or {}
    if logs.get("content"):
        return [
            (entry["token"], _with(entry["token"], entry["logprob"], _pairs(entry.get("top_logprobs") or [])))
            for entry in logs["content"]
        ]
    if logs.get("tokens"):
        tops = logs.get("top_logprobs") or [{}] * len(logs["tokens"])
        rows = zip(logs["tokens"], logs["token_logprobs"], tops, strict=True)
        return [(token, _with(token, log, dict(top or {}))) for token, log, top in rows]
    entries = read.get("completion_probabilities") or choice.get("completion_probabilities") or []
    return [(entry["content"], tuple((p["tok_str"], _log(p["prob"])) for p in entry["probs"])) for entry in entries]


def _pairs(entries: list[Mapping[str, Any]]) -> dict[str, float]:
    """Return log probabilities by token. Equal texts may stand for different bytes, so their probabilities add up."""
    logs: dict[str, float] = {}
    for entry in entries:
        mass = math.exp(entry["logprob"]) + math.exp(logs.get(entry["token"], -math.inf))
        logs[entry["token"]] = _log(mass)
    return logs


def _with(token: str, log: float, top: dict[str, float]) -> Top:
    """Return the candidates, including the chosen token."""
    return tuple((str(name), float(value)) for name, value in ({token: log} | top).items())


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _usage(value: Any) -> dict[str, int]:
    return {k: v for k, v in value.items() if type(v) is int} if isinstance(value, dict) else {}
