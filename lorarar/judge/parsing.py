"""From a raw reply to a verdict: finish reason, then token probabilities, then anchored text, then checked JSON.

A reply that is not clearly an answer abstains. Words are never looked for inside a text, only at its start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from lorarar.judge.probabilities import probability_bounds
from lorarar.judge.records import Answer, Question, Reply, Verdict

PARSER_VERSION = 1
_FINISHED = {"", "stop", "eos", "eos_token", "end_turn", "stop_sequence"}
_SCALE_TOP = 4
# What may stand around an answer: quotes, emphasis, a label.
_OPENING = r"[\s\"'`*_“‘>#\[(]*"
_LABEL = r"(?:(?:final |my |the )?(?:answer|score|rating|verdict)(?: is)?\s*[:=\-–—]?[\s\"'`*_“‘\[(]*)?"
_END = r"(?=$|[\s.,;:!)\]}*_\"'`”’–—…。，！])"
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_DECLINED = re.compile(
    r"\bas an ai\b|\bi['’]?m sorry\b|\bi am sorry\b|"
    r"\b(?:cannot|can['’]?t|can not|unable to|not able to|won['’]?t)\s+"
    r"(?:assist|help|comply|answer|determine|tell|view|access|see (?:any|the) images?)\b"
)
_YES = re.compile(_OPENING + _LABEL + r"yes" + _END + r"(?![*_\"'`”’)\]]*\s*[?/])")
# "No doubt", "No. 5" and "no differences" are no answers: behind "no" comes a stop, or a word that opens a sentence.
_NO = re.compile(
    _OPENING + _LABEL + r"no(?=[\"'`*_”’)\]}]*\s*(?:$|\.(?!\s*\d)|[,;:!–—…。，！\n]|-\s)"
    r"|\s+(?:it|its|they|this|that|these|those|the|there|because|since|as)\b)"
)
_YES_LATER = re.compile(r"(?<!\w)yes(?!\w)")
_NO_LATER = re.compile(r"(?:\b(?:and|or|but|also)\s+|[/|]\s*)no\b|(?<![\w-])no[\"'*_)]*\s*(?:$|[.,;:!?/|)–—])")
_DIGIT = re.compile(
    _OPENING + _LABEL + r"([0-4])(?:\s*(?:/|out of)\s*4)?[\"'`*_”’)\]}]*(?:$|(?=\.(?!\d)|[;:!\n–—(]|,(?!\d)|\s+-\s))"
)
_LETTER = re.compile(_OPENING + _LABEL + r"(?:image )?([ab])[\"'`*_”’)\]}]*(?:$|(?=[.,;:!\n–—]|\s+-\s))")
_LETTER_LATER = re.compile(
    r"(?:\b(?:and|or)\s+|[/|]\s*)(?:image )?[ab](?!\w)|(?:^|[.!\n]\s*)(?:image )?[ab]\s*(?:$|[.,;:!])"
)
_FENCED = re.compile(r"\s*```(?:json|JSON)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL)


def parse(reply: Reply, question: Question) -> Verdict:
    """What a reply means. Never raises, whatever the reply holds."""
    if reply.failure:
        return Verdict(question.id, "invalid_input" if reply.invalid_input else "error", reason=reply.failure)
    if reply.finish_reason not in _FINISHED:
        return _abstain(question, f"the reply ended with {reply.finish_reason!r}")
    try:
        return _READERS[question.answer](reply, question)
    except (ValueError, TypeError, OverflowError, RecursionError, AttributeError) as error:
        return _abstain(question, f"the reply is malformed: {error}")


def _yes_no(reply: Reply, question: Question) -> Verdict:
    return _two_sided(reply, question, ("yes", "no"), read_yes_no)


def _pairwise(reply: Reply, question: Question) -> Verdict:
    return _two_sided(reply, question, ("a", "b"), read_letter)


def _two_sided(reply: Reply, question: Question, words: tuple[str, str], read: Callable[[str], bool | None]) -> Verdict:
    """Token probabilities where they are there; a text that says something else, or two things, makes it abstain."""
    text = _spoken(reply.text)
    said = read(text)
    bounds = None if text != reply.text else probability_bounds(reply.top, words, complete=reply.complete)
    if bounds is None:
        return _abstain(question, _unread(text)) if said is None else _ok(question, float(said))
    if isinstance(bounds, str):
        return _abstain(question, bounds)
    low, high = bounds
    if low <= 0.5 <= high:
        return _abstain(question, f"probability {low:.3f} to {high:.3f} decides nothing", p_yes=bounds)
    # One forward pass has no text of its own: its text is a token that may be neither answer.
    if not reply.complete and said is not (low > 0.5):
        return _abstain(question, "the text does not say what the token probabilities say", p_yes=bounds)
    return _ok(question, float(low > 0.5), p_yes=bounds)


def read_yes_no(text: str) -> bool | None:
    """True or False for a text that starts with one clear answer, else None."""
    lowered = text.strip().lower()
    if _DECLINED.search(lowered):
        return None
    if match := _YES.match(lowered):
        return None if _NO_LATER.search(lowered, match.end()) else True
    if match := _NO.match(lowered):
        return None if _YES_LATER.search(lowered, match.end()) else False
    return None


def read_letter(text: str) -> bool | None:
    """True for A, False for B, None for anything else."""
    lowered = text.strip().lower()
    match = _LETTER.match(lowered)
    if match is None or _LETTER_LATER.search(lowered[match.end() :]):
        return None
    return match.group(1) == "a"


def _scale(reply: Reply, question: Question) -> Verdict:
    text = _spoken(reply.text)
    unfenced = _unfence(text)
    if unfenced.startswith("{"):
        score = _fields(unfenced, {"score": int})["score"]
        if not 0 <= score <= _SCALE_TOP:
            return _abstain(question, f"expected a score from 0 to {_SCALE_TOP}, found {score}")
        return _ok(question, score / _SCALE_TOP)
    match = _DIGIT.match(text.lower())
    return _ok(question, int(match.group(1)) / _SCALE_TOP) if match else _abstain(question, _unread(text))


def _flags(reply: Reply, question: Question) -> Verdict:
    found = _fields(_unfence(_spoken(reply.text)), {"same": bool, "leak": bool, "copy": bool})
    return Verdict(question.id, "ok", float(found["same"]), details={"leak": found["leak"], "copy": found["copy"]})


_READERS: Mapping[Answer, Callable[[Reply, Question], Verdict]] = {
    "yes_no": _yes_no,
    "scale": _scale,
    "json": _flags,
    "pairwise": _pairwise,
}


def _fields(text: str, schema: Mapping[str, type]) -> dict[str, Any]:
    """A JSON object of exactly these fields and types; a `reason` may be added.

    Raises:
        ValueError: it is anything else.
    """
    read = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    if not isinstance(read, dict):
        raise ValueError(f"expected a JSON object, found {type(read).__name__}")
    extra = sorted(set(read) - set(schema) - {"reason"})
    if extra or set(schema) - set(read):
        raise ValueError(f"expected the fields {sorted(schema)}, found {sorted(read)}")
    for name, kind in schema.items():
        if type(read[name]) is not kind:
            raise ValueError(f"expected {name} to be a JSON {kind.__name__}, found {read[name]!r:.40}")
    return read


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _spoken(text: str) -> str:
    """The text behind a closed block of thoughts."""
    return _THOUGHT.sub("", text, count=1) if text.lstrip().startswith("<think>") else text


def _unfence(text: str) -> str:
    match = _FENCED.fullmatch(text)
    return (match.group(1) if match else text).strip()


def _unread(text: str) -> str:
    return f"no clear answer at the start of {text[:60]!r}" if text.strip() else "the reply is empty"


def _ok(question: Question, value: float, p_yes: tuple[float, float] | None = None) -> Verdict:
    return Verdict(question.id, "ok", value, p_yes)


def _abstain(question: Question, reason: str, p_yes: tuple[float, float] | None = None) -> Verdict:
    return Verdict(question.id, "abstain", None, p_yes, reason)
