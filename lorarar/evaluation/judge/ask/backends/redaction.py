"""Redaction: removal of a key from texts that a server sends back, in the forms in which servers quote headers."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

_MARK = "[key]"
_MIN_LENGTH = 8  # a shorter key is removed as it is only: its other forms would match ordinary text


class Redactor:
    """Removes one key from texts: as it is, spaced, percent-encoded, escaped for JSON or HTML, and in base64.

    Args:
        key: The key; "" removes nothing.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._pattern: re.Pattern[str] | None = None
        if len(key) >= _MIN_LENGTH:
            letters = r"[\s\u200b]*".join(map(_forms_of_sign, key))
            self._pattern = re.compile("|".join([letters, *_base64_forms(key)]))

    def clean(self, text: str) -> str:
        """Return the text without the key."""
        if not self._key:
            return text
        text = text.replace(self._key, _MARK)
        return self._pattern.sub(_MARK, text) if self._pattern else text

    def clean_bytes(self, body: bytes) -> bytes:
        """Return the body without the key as it is; for a body that is parsed before `clean` sees its texts."""
        return body.replace(self._key.encode(), _MARK.encode()) if self._key else body


def _forms_of_sign(sign: str) -> str:
    """Return a pattern of one sign of a key: plain, percent-encoded, or escaped for JSON or HTML."""
    codes = [rf"%{byte:02X}" for byte in sign.encode()]
    percent = "".join(f"(?i:{code})" for code in codes)
    escaped = rf"(?i:\\+u{ord(sign):04x}|\\+x{ord(sign):02x}|&#0*{ord(sign)};|&#x0*{ord(sign):x};)"
    return rf"(?:{re.escape(sign)}|\\+{re.escape(sign)}|{percent}|{escaped})"


def _base64_forms(key: str) -> Iterator[str]:
    """Yield patterns of the key in base64 at the three places where it may begin in a longer text."""
    for before in range(3):
        raw = b"\0" * before + key.encode()
        whole = raw[: len(raw) - len(raw) % 3]
        # The first group of signs also depends on what stands before the key.
        coded = base64.b64encode(whole).decode()[4 if before else 0 :]
        if len(coded) >= _MIN_LENGTH:
            yield re.escape(coded) + r"[\w+/=-]*"
            yield re.escape(coded.translate(str.maketrans("+/", "-_"))) + r"[\w=-]*"
