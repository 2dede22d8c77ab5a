"""lorarar.evaluation.judge.read.reasons: why questions have no answer, with counts and what to do."""

from __future__ import annotations

import pytest

from lorarar.evaluation.judge.read.reasons import group_reasons
from lorarar.evaluation.judge.records import State, Verdict


def test_reasons_of_a_sort_are_counted_together_whatever_they_quote() -> None:
    verdicts = [Verdict(f"a{n}", "abstain", reason=f"no clear answer at the start of 'text {n}'") for n in range(3)]
    verdicts += [Verdict(f"e{n}", "error", reason=f"HTTP 401: request {n}") for n in range(2)]
    verdicts += [Verdict("f", "error", reason="HTTP 500: oh"), Verdict("o", "ok", 1.0), Verdict("n", "not_run")]
    groups = group_reasons(reversed(verdicts))
    assert [(g.count, g.kind, g.example) for g in groups] == [
        (3, "undecided", "no clear answer at the start of 'text 0'"),
        (2, "failed", "HTTP 401: request 0"),
        (1, "failed", "HTTP 500: oh"),
        (1, "not asked", ""),
    ]


@pytest.mark.parametrize(
    ("state", "reason", "remedy"),
    [
        ("error", "HTTP 401: bad key", "set LORARAR_API_KEY"),
        ("error", "HTTP 404: no model", "check the model's name"),
        ("error", "HTTP 503: busy", "asks these questions again"),
        ("abstain", "the reply ended with 'length'", "?max_tokens=NUMBER"),
        ("abstain", "the reply is empty", "read the replies"),
        ("invalid_input", "expected a PNG", "replace the image"),
        ("not_run", "not asked yet", "`lorarar judge run`"),
    ],
)
def test_each_sort_has_a_remedy(state: State, reason: str, remedy: str) -> None:
    (group,) = group_reasons([Verdict("q", state, reason=reason)])
    assert remedy in group.remedy
