"""Retries: the waiting time before a busy server is asked again."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})  # HTTP statuses
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the waiting time in seconds from `retry-after-ms`, or from `retry-after` in seconds or as an HTTP date.

    Args:
        headers: With keys in lower case, or a mapping that ignores case.
        now: Seconds since 1970.
    """
    if (wait := _number(headers.get("retry-after-ms"))) is not None:
        return wait / 1000
    text = headers.get("retry-after")
    if text is None or (wait := _number(text)) is not None:
        return wait
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def backoff(attempt: int, lot: random.Random) -> float:
    """Return the seconds between attempt 0, 1, .. and the next one.

    The wait doubles with each attempt; a random factor from 1/2 to 1 spreads the calls.
    """
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 16)) * lot.uniform(0.5, 1.0)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
