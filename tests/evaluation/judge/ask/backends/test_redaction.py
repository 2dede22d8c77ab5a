"""lorarar.evaluation.judge.ask.backends.redaction: no form of a key survives, and other text does."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest

from lorarar.evaluation.judge.ask.backends.redaction import Redactor

KEY = "sk-canary/0123456789+abcdef"
FORMS = {
    "plain": KEY,
    "spaced": " ".join(KEY),
    "wrapped": KEY[:9] + "\n  " + KEY[9:],
    "percent": quote(KEY, safe=""),
    "all percent": "".join(f"%{ord(sign):02x}" for sign in KEY),
    "json": json.dumps(KEY).replace("/", "\\/"),
    "unicode escapes": "".join(f"\\u{ord(sign):04X}" for sign in KEY),
    "html": html.escape(KEY).replace("/", "&#x2F;"),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of the header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64 of a pair": base64.b64encode(f"u:{KEY}".encode()).decode(),
    "url-safe base64": base64.urlsafe_b64encode(f"xx{KEY}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_key_is_removed(form: str) -> None:
    cleaned = Redactor(KEY).clean(f"Invalid key: {FORMS[form]}, see the docs")
    assert "[key]" in cleaned
    assert cleaned.startswith("Invalid key: ")
    for part in (KEY[3:12], quote(KEY, safe="")[9:20], FORMS[form][10:22]):
        assert part not in cleaned


def test_other_text_stays() -> None:
    text = "expected a model, found sk-canary and 0123456789: see https://example.org/a%20b"
    assert Redactor(KEY).clean(text) == text
    assert Redactor("").clean(KEY) == KEY
    assert Redactor("none").clean("n o n e, none") == "n o n e, [key]"
    assert Redactor(KEY).clean_bytes(b"x " + KEY.encode()) == b"x [key]"
