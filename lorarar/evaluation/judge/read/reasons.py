"""Reasons why questions have no answer, grouped and counted, each with what to do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lorarar.evaluation.judge.records import State, Verdict

_LENGTH = 200  # characters of an example
# Reasons quote the reply: the text before the quotation tells the sort of reason.
_QUOTED = re.compile(r"[:'\"]")
_SORT = re.compile(r"HTTP \d+|the reply ended with '\w+'")
# The first pattern that a failure or an abstention matches says what to do.
_REMEDIES = (
    (re.compile(r"HTTP 40[13]\b"), "set LORARAR_API_KEY to a key that the server accepts"),
    (re.compile(r"HTTP 404\b"), "check the model's name and the server's URL"),
    (re.compile(r"HTTP 429\b"), "run again later, or with fewer calls at once"),
    (re.compile(r"ended with 'length'"), "add ?max_tokens=NUMBER or ?effort=low to the server's URL"),
    (re.compile(r"image was not seen"), "check that the model takes two images in one request"),
)
_DEFAULTS: Mapping[State, str] = {
    "abstain": "read the replies, and take another rubric or model if there are many",
    "error": "the same `lorarar judge run` asks these questions again",
    "invalid_input": "replace the image, and plan again",
    "not_run": "`lorarar judge run` asks these questions",
}


@dataclass(frozen=True)
class ReasonGroup:
    """Questions without an answer for one sort of reason.

    Attributes:
        count: Number of these questions.
        example: One reason, cut where it is long.
        remedy: What to do.
    """

    state: State
    count: int
    example: str
    remedy: str

    @property
    def kind(self) -> str:
        """What became of these questions, in a word or two."""
        return {"abstain": "undecided", "not_run": "not asked"}.get(self.state, "failed")


def group_reasons(verdicts: Iterable[Verdict]) -> list[ReasonGroup]:
    """Group the verdicts without a vote by state and sort of reason, the most frequent first."""
    counts: Counter[tuple[State, str]] = Counter()
    examples: dict[tuple[State, str], str] = {}
    for verdict in verdicts:
        if verdict.state != "ok":
            named = _SORT.match(verdict.reason)
            sort = named[0] if named else _QUOTED.split(verdict.reason)[0].strip()
            counts[verdict.state, sort] += 1
            reason = " ".join(verdict.reason.split())[:_LENGTH]
            examples[verdict.state, sort] = min(examples.get((verdict.state, sort), reason), reason)
    frequent = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [ReasonGroup(key[0], count, examples[key], _remedy(key[0], examples[key])) for key, count in frequent]


def _remedy(state: State, reason: str) -> str:
    if state in ("error", "abstain"):
        for pattern, remedy in _REMEDIES:
            if pattern.search(reason):
                return remedy
    return _DEFAULTS[state]
