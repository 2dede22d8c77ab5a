"""Parsing: from a raw reply to a verdict, by finish reason, token probabilities, the start of the text or checked JSON.

A reply without a clear answer abstains: one that hedges, contradicts itself or says that an image was not seen, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from lorarar.evaluation.judge.read.answers import read_digit, read_letter, read_yes_no
from lorarar.evaluation.judge.read.doubts import is_unseen
from lorarar.evaluation.judge.read.probabilities import probability_bounds
from lorarar.evaluation.judge.read.text import json_parts, plain_text, without_thoughts
from lorarar.evaluation.judge.records import Answer, Question, Reply, Verdict

_FINISHED = {"", "stop", "eos", "eos_token", "end_turn", "stop_sequence"}
_SCALE_TOP = 4
_JSON_OBJECT = re.compile(r"\{\s*(?:[\"'}]|$)")
_COMMENTS = ("reason", "explanation")  # text fields of a JSON reply that carry no answer


def parse_reply(reply: Reply, question: Question) -> Verdict:
    """Return the verdict of a reply. Never raises, whatever the reply holds."""
    if reply.failure:
        return Verdict(question.id, "invalid_input" if reply.invalid_input else "error", reason=reply.failure)
    if reply.finish_reason not in _FINISHED:
        return _abstain(question, f"the reply ended with {reply.finish_reason!r}")
    try:
        return _PARSERS[question.answer](reply, question)
    except (ValueError, TypeError, OverflowError, RecursionError, AttributeError) as error:
        return _abstain(question, f"the reply is malformed: {error}")


def _yes_no(reply: Reply, question: Question) -> Verdict:
    return _two_sided(reply, question, ("yes", "no"), read_yes_no)


def _pairwise(reply: Reply, question: Question) -> Verdict:
    return _two_sided(reply, question, ("a", "b"), read_letter)


def _two_sided(reply: Reply, question: Question, words: tuple[str, str], read: Callable[[str], bool | None]) -> Verdict:
    """Read one of two words from token probabilities, or from the text without them; a contradiction abstains."""
    text = without_thoughts(reply.text)
    answer = read(text)
    bounds = None if text != reply.text else probability_bounds(reply.top, words, complete=reply.complete)
    if bounds is None:
        return _abstain(question, _unclear(text)) if answer is None else _ok(question, float(answer))
    if isinstance(bounds, str):
        return _abstain(question, bounds)
    low, high = bounds
    if low <= 0.5 <= high:
        return _abstain(question, f"probability {low:.3f} to {high:.3f} decides nothing", p_yes=bounds)
    # A single forward pass has only its most probable token as text, which may be neither word.
    if not reply.complete and answer is not (low > 0.5):
        return _abstain(question, "the text contradicts the token probabilities", p_yes=bounds)
    return _ok(question, float(low > 0.5), p_yes=bounds)


def _scale(reply: Reply, question: Question) -> Verdict:
    text = without_thoughts(reply.text)
    if _JSON_OBJECT.search(text):
        score = _json_fields(text, {"score": int})["score"]
        if not 0 <= score <= _SCALE_TOP:
            return _abstain(question, f"expected a score from 0 to {_SCALE_TOP}, found {score}")
    else:
        score = read_digit(text)
    return _abstain(question, _unclear(text)) if score is None else _ok(question, score / _SCALE_TOP)


def _flags(reply: Reply, question: Question) -> Verdict:
    flags = _json_fields(without_thoughts(reply.text), {"same": bool, "leak": bool, "copy": bool})
    return Verdict(question.id, "ok", float(flags["same"]), details={"leak": flags["leak"], "copy": flags["copy"]})


_PARSERS: Mapping[Answer, Callable[[Reply, Question], Verdict]] = {
    "yes_no": _yes_no,
    "scale": _scale,
    "json": _flags,
    "pairwise": _pairwise,
}


def _json_fields(text: str, schema: Mapping[str, type]) -> dict[str, Any]:
    """Parse the one JSON object of a reply, with exactly these fields and types.

    Words around the object and the text fields `reason` and `explanation` are allowed, where they do not say that an
    image was not seen. The case of field names is ignored.

    Raises:
        ValueError: The text is anything else.
    """
    json_text, around = json_parts(text)
    read = json.loads(json_text, object_pairs_hook=_unique_fields, parse_constant=_no_constant)
    if not isinstance(read, dict):
        raise ValueError(f"expected a JSON object, found {type(read).__name__}")
    comments = [read.pop(name) for name in _COMMENTS if isinstance(read.get(name), str)]
    if set(read) != set(schema):
        raise ValueError(f"expected the fields {sorted(schema)}, found {sorted(read)}")
    for name, kind in schema.items():
        if type(read[name]) is not kind:
            raise ValueError(f"expected {name} to be a JSON {kind.__name__}, found {read[name]!r:.40}")
    if any(is_unseen(plain_text(comment)) for comment in [around, *comments]):
        raise ValueError("the words around the answer say that an image was not seen")
    if read_yes_no(around) is not None:
        raise ValueError("expected one answer, found a second one beside the JSON object")
    return read


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = {name.lower(): value for name, value in pairs}
    if len(fields) != len(pairs):
        raise ValueError("expected each field once, found one twice")
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"expected a JSON number, found {name}")


def _unclear(text: str) -> str:
    return f"no clear answer at the start of {text[:60]!r}" if text.strip() else "the reply is empty"


def _ok(question: Question, value: float, p_yes: tuple[float, float] | None = None) -> Verdict:
    return Verdict(question.id, "ok", value, p_yes)


def _abstain(question: Question, reason: str, p_yes: tuple[float, float] | None = None) -> Verdict:
    return Verdict(question.id, "abstain", None, p_yes, reason)
