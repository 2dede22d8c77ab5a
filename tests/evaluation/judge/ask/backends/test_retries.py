"""lorarar.evaluation.judge.ask.backends.retries: three forms of a waiting time, and the wait without one."""

from __future__ import annotations

import random
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorarar.evaluation.judge.ask.backends.retries import FIRST_WAIT, LONGEST_WAIT, backoff, retry_after

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@given(st.text(), st.text())
def test_any_header_is_survived(after: str, milliseconds: str) -> None:
    wait = retry_after({"retry-after": after, "retry-after-ms": milliseconds}, NOW)
    assert wait is None or wait >= 0


def test_waits_double_up_to_a_limit_and_differ() -> None:
    lot = random.Random(0)
    for attempt in (0, 1, 2, 3, 20, 5000):
        whole = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempt, 16))
        waits = [backoff(attempt, lot) for _ in range(50)]
        assert all(whole / 2 <= wait <= whole for wait in waits)
        assert len(set(waits)) == 50
