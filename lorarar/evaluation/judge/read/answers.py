"""Answers in text: the yes or no, letter or digit at the start of a text; words inside a text are ignored."""

from __future__ import annotations

import re

# Typographic signs are replaced by plain ones, so that the patterns need only the latter.
_PLAIN = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": " - ", "\u2014": " - ", "\u2026": "...",
        "\u3002": ".", "\uff0c": ",", "\uff01": "!", "\uff1a": ":", "\uff1f": "?",
    }
)  # fmt: skip
_OPEN = r"[\s\"'`*_>#\[(]*"
_CLOSE = r"[\"'`*_\])}]*"
_START = _OPEN + r"(?:(?:final |my |the )?(?:answer|score|rating|verdict)(?: is\s*:?|\s*[:=-])" + _OPEN + ")?"
_DECLINED = re.compile(
    r"\bas an ai\b|\bi(?:'m| am) sorry\b|"
    r"\b(?:cannot|can'?t|can not|unable to|not able to|won'?t)\s+"
    r"(?:assist|help|comply|answer|determine|tell|view|access|see (?:any|the) images?)\b"
)
_YES = re.compile(_START + r"yes" + _CLOSE + r"(?=$|[\s.,;:!])(?!\s*[?/|])")
# "No doubt", "No. 5" and "no differences" are not answers: punctuation or a word that opens a sentence must follow.
_NO = re.compile(
    _START + r"no" + _CLOSE + r"(?:(?=\s*(?:$|\.(?!\s*\d)|[,;:!\n]|-\s))"
    r"|(?=\s+(?:it|its|they|this|that|these|those|the|there|because|since|as)\b))(?!\s*[?/|])"
)
_YES_LATER = re.compile(r"(?<!\w)yes(?!\w)")
# Matches "yes and no", "yes/no" and "yes. no.", but not "yes, there are no differences".
_NO_LATER = re.compile(r"(?:\b(?:and|or|but|also)\s+|[/|]\s*)no\b|(?<![\w-])no" + _CLOSE + r"\s*(?:$|[.,;:!?/|]|-\s)")
_DIGIT = re.compile(
    _START + r"([0-4])(?:\s*(?:/|out of)\s*4)?" + _CLOSE + r"(?:$|(?=\.(?!\d)|[;:!\n]|,(?!\d)|\s+[-(]|\s*\n))"
)
_LETTER = re.compile(_START + r"(?:image )?([ab])" + _CLOSE + r"(?:$|(?=[.,;:!\n]|\s+-\s))")
_LETTER_LATER = re.compile(
    r"(?:\b(?:and|or)\s+|[/|,]\s*)(?:image )?[ab](?!\w)|[.!\n]\s{0,3}(?:image )?[ab]" + _CLOSE + r"\s*(?:$|[.,;:!])"
)


def read_yes_no(text: str) -> bool | None:
    """Return True or False for a text that starts with one clear answer, None for any other text.

    A text that retracts its answer ("Yes and no") or declines to answer gives None, too.
    """
    plain = _plain(text)
    if _DECLINED.search(plain):
        return None
    if match := _YES.match(plain):
        return None if _NO_LATER.search(plain, match.end()) else True
    if match := _NO.match(plain):
        return None if _YES_LATER.search(plain, match.end()) else False
    return None


def read_letter(text: str) -> bool | None:
    """Return True for A, False for B, None for any other text."""
    plain = _plain(text)
    match = _LETTER.match(plain)
    if match is None or _LETTER_LATER.search(plain, match.end()) or _DECLINED.search(plain):
        return None
    return match.group(1) == "a"


def read_digit(text: str) -> int | None:
    """Return the digit from 0 to 4 at the start of a text, None for any other text."""
    match = _DIGIT.match(_plain(text))
    return int(match.group(1)) if match else None


def _plain(text: str) -> str:
    return text.translate(_PLAIN).strip().lower()
