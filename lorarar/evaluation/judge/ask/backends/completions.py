"""Completions: from the body of an OpenAI-compatible server's response to a reply; a malformed body is a failure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lorarar.evaluation.judge.read.probabilities import spelling
from lorarar.evaluation.judge.records import Answer, Reply

Top = tuple[tuple[str, float], ...]
_TEXT_PARTS = ("text", "output_text")
_TOKEN_ID = "token_id:"  # vLLM writes numbers in place of tokens with --return-tokens-as-token-ids
# Form of an answer -> words that it consists of; of other forms no probabilities are used.
_WORDS: Mapping[Answer, Sequence[str]] = {"yes_no": ("yes", "no"), "pairwise": ("a", "b")}


def read_completion(body: bytes, answer: Answer = "yes_no") -> Reply:
    """Read the one choice of a chat completion. Never raises.

    Args:
        body: The response.
        answer: The form of the answer, which tells which token's probabilities are kept.
    """
    try:
        read = json.loads(body, object_pairs_hook=_unique_keys)
    except _DoubledKeyError as error:
        return Reply(failure=str(error))
    except (ValueError, RecursionError):
        return Reply(failure=f"the response is not JSON: {body[:80]!r}")
    if not isinstance(read, dict):
        return Reply(failure="the response is not a JSON object")
    if read.get("error"):
        return Reply(failure=f"the server reports {json.dumps(read['error'])[:300]}")
    choices = read.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Reply(failure="the response has no choices")
    if len(choices) > 1:
        return Reply(failure=f"expected one choice in the response, found {len(choices)}")
    if choices[0].get("error"):
        return Reply(failure=f"the server reports {json.dumps(choices[0]['error'])[:300]}")
    about = Reply(model=_text(read.get("model")), usage=_usage(read.get("usage")))
    return _read_choice(choices[0], read, about, _WORDS.get(answer, ()))


class _DoubledKeyError(Exception):
    """A JSON object holds one key twice, so that readers differ about its value."""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _DoubledKeyError(f"expected each key of the response once, found {len(pairs) - len(read)} of them again")
    return read


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


def _read_choice(choice: Mapping[str, Any], read: Mapping[str, Any], about: Reply, words: Sequence[str]) -> Reply:
    message = choice.get("message")
    if not isinstance(message, dict):
        return replace(about, failure="the response has no message")
    finish = _text(choice.get("finish_reason"))
    if finish == "error":
        return replace(about, failure="the server ended the reply with finish_reason error")
    if refusal := _text(message.get("refusal")):
        return replace(about, text=refusal, finish_reason="refusal")
    content = _content(message.get("content"))
    if content is None and finish in ("", "stop"):
        return replace(about, failure="the message has no content")
    top = _answer_candidates(choice, read, content or "", words)
    return replace(about, text=content or "", finish_reason=finish, top=top)


def _content(content: Any) -> str | None:
    """Return the text of a message: a string, or the texts in a list of parts."""
    if isinstance(content, list):
        # Parts of other types hold thoughts, citations or tool calls, some of them with a text too.
        said = [part for part in content if isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS]
        parts = [part.get("text") for part in said]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) else None


def _answer_candidates(choice: Mapping[str, Any], read: Mapping[str, Any], content: str, words: Sequence[str]) -> Top:
    """Return the candidates for the token that begins the answer; () where the server gives no probabilities.

    The answer begins at the first of `words`, else at the first token with a letter or digit. Tokens of thoughts, which
    some servers list before those of the message, are left out.
    """
    try:
        positions = _of_message(_positions(choice, read), content)
        if positions[0][0].startswith(_TOKEN_ID):
            return ()
        starts = [place for place, (token, _) in enumerate(positions) if spelling(token)]
        chosen = next((place for place in starts if spelling(_word(positions, place)) in words), None)
        if chosen is None:
            chosen = starts[0]
        return _whole_words(positions[chosen], _word(positions, chosen), words)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError):
        return ()


def _of_message(positions: list[tuple[str, Top]], content: str) -> list[tuple[str, Top]]:
    """Return the last tokens that spell the message; all where none do."""
    rest = content.strip()
    for place in range(len(positions) - 1, -1, -1):
        token = positions[place][0].strip()
        if not rest.endswith(token):
            break
        rest = rest.removesuffix(token).rstrip()
        if not rest:
            return positions[place:]
    return positions


def _word(positions: list[tuple[str, Top]], place: int) -> str:
    """Return the token at a place with the tokens that continue its word: "Y" and "es"."""
    word = positions[place][0]
    for token, _ in positions[place + 1 :]:
        if not (word[-1:].isalpha() and token[:1].isalpha()):
            break
        word += token
    return word


def _whole_words(position: tuple[str, Top], word: str, words: Sequence[str]) -> Top:
    """Return candidates with the chosen token as its whole word, and other beginnings as the word that they begin."""
    chosen, top = position
    if word == chosen:
        return top
    whole = []
    for token, log in top:
        begun = [other for other in words if spelling(token) and other.startswith(spelling(token))]
        whole.append((word if token == chosen else begun[0] if len(begun) == 1 else token, log))
    return tuple(whole)


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
    return {k: v for k, v in value.items() if type(v) is int and v >= 0} if isinstance(value, dict) else {}
