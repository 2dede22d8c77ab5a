"""Answers in text: one clear yes or no, letter or digit, at the start of a text or after "Answer:" at its end.

Words inside a text are ignored. A text that declines, contradicts itself or takes its answer back gives no answer.
"""

from __future__ import annotations

import re

from lorarar.evaluation.judge.read.doubts import contradicts, is_retracted, is_unseen
from lorarar.evaluation.judge.read.text import plain_text

_OPEN = r"[\s\"'`*_>#\[({]*"
_CLOSE = r"[\"'`*_\])}]*"
_LABEL = (
    r"(?:(?:final |my |the |so the )*(?:answer|score|rating|verdict)[*_`]*(?:\s+is\b\s*:?|\s*[:=-]|\s*\n)"
    r"|(?:overall|conclusion|result)[*_`]*\s*:|\[result\]:?)"
)
_START = _OPEN + r"(?:" + _LABEL + _OPEN + ")?"
# Words before a yes or no that say nothing: the role of a transcript, a list mark, a filler.
_BEFORE = re.compile(
    r"(?:(?:a|assistant|response|output)\s*:\s*|assistant\s*\n\s*|(?:[-*+]|\d{1,2}[.)])\s+"
    r"|(?:sure|certainly|well|hm+)[,.!]+\s*|looking at (?:both|the) images,\s*|based on [^.,\n]{1,60},\s*"
    r"|in one word:\s*|i(?:'d| would) say\s+|it is a\s+)"
)
_MARKS = {"\u2705": True, "\U0001f44d": True, "\u2714": True, "\u274c": False, "\U0001f44e": False, "\u2716": False}
_SYMBOL = r"[\u2600-\u27bf\ufe0f\U0001f300-\U0001faff]"
_SYMBOLS = re.compile(rf"^(?:{_SYMBOL}\s*)+|(?:\s*{_SYMBOL})+(?=$|\s)")
_YES = re.compile(_START + r"(?:yes|yep|yeah)" + _CLOSE + r"(?=$|[\s.,;:!(])(?!\s*[?/|])")
# "No doubt", "No. 5" and "no differences" are not answers: punctuation or a word that opens a sentence must follow.
_NO = re.compile(
    _START + r"(?:nope|nah|no)" + _CLOSE + r"(?:(?=\s*(?:$|\.(?!\s*\d)|[,;:!\n(]|-\s))"
    r"|(?=\s+(?:it|its|they|this|that|these|those|the|there|because|since|as|way)\b))(?!\s*[?/|])"
)
_YES_LATER = re.compile(r"(?<!\w)yes(?!\w)")
# Matches "yes and no", "yes/no" and "yes. no.", but not "yes, there are no differences".
_NO_LATER = re.compile(r"(?:\b(?:and|or|but|also)\s+|[/|]\s*)no\b|(?<![\w-])no" + _CLOSE + r"\s*(?:$|[.,;:!?/|]|-\s)")
_REPEATED = re.compile(r"\W*(?:yes|no)\s+(?:yes|no)\b")
# The opposite word that answers something else: "yes, both are cats, but ..", "Text: no", "is there a difference? No".
_ASIDE = re.compile(
    r"(?:yes|no),[^.;\n]{0,100}?\bbut\b|\b(?:text|watermark|differences?|changes?)\s*:\s*no\b|\bdiffer\w*\?\s*no\b"
)
_DASHES = re.compile(r"[\s-]{20,}")
_LETTER = re.compile(_START + r"(?:image )?([ab])" + _CLOSE + r"(?:$|(?=[.,;:!\n]|\s+-\s))")
_LETTER_LATER = re.compile(
    r"(?:\b(?:and|or)\s+|[/|,]\s*)(?:image )?[ab](?!\w)|[.!\n]\s{0,3}(?:image )?[ab]" + _CLOSE + r"\s*(?:$|[.,;:!])"
    r"|\b[ab] (?:is|keeps|follows|looks|matches) (?:\w+ ){0,2}(?:better|closer|more)\b"
)
_DIGIT = re.compile(
    _START + r"([0-4])(?:\.0)?(?:\s*(?:/|out of)\s*4)?" + _CLOSE + r"(?:$|(?=\.(?!\d)|[;:!\n]|,(?!\d)|\s+[-(]|\s*\n))"
)
# Another number that could be a score, or the top of another scale: lists, ranges, "out of 10".
_NUMBER_LATER = re.compile(r"(?<![\w.])\d{1,3}(?![\w%])")
_LIST = re.compile(r"\s*\d[.)]\s+(?!i\b)\w[^\n]*(?:\n|$)")
_LAST = re.compile(r"(?:^|[\n.!?;,)])[\s*_#]*(?:so |thus |therefore,? )?" + _LABEL + r"([^\n]*)$")


def read_yes_no(text: str) -> bool | None:
    """Return True or False for a text with one clear yes or no, None for any other text.

    A text that retracts or contradicts its answer ("Yes and no", "Yes, they are different"), or that declines to
    answer, gives None, too.
    """
    plain = plain_text(text)
    if is_unseen(plain):
        return None
    marks = {_MARKS[sign] for sign in plain if sign in _MARKS}
    plain = _SYMBOLS.sub(".", plain).lstrip(". ") if marks or _SYMBOLS.search(plain) else plain
    answer = _leading_word(plain)
    if answer is None and not plain.startswith(("yes", "no")) and (last := _LAST.search(plain)):
        answer = _leading_word(last.group(1))
    return None if marks and marks != {answer} else answer


def read_letter(text: str) -> bool | None:
    """Return True for A, False for B, None for any other text."""
    plain = plain_text(text)
    match = _LETTER.match(plain)
    if match is None and (last := _LAST.search(plain)):
        plain = last.group(1)
        match = _LETTER.match(plain)
    if match is None or is_unseen(plain) or is_retracted(plain):
        return None
    return None if _LETTER_LATER.search(plain, match.end()) else match.group(1) == "a"


def read_digit(text: str) -> int | None:
    """Return the digit from 0 to 4 at the start of a text, None for any other text.

    A list, a range, a second number and an explanation that no image was seen give None, too.
    """
    plain = plain_text(text)
    match = _DIGIT.match(plain)
    if match is None and (last := _LAST.search(plain)):
        plain = last.group(1)
        match = _DIGIT.match(plain)
    if match is None or is_unseen(plain) or is_retracted(plain):
        return None
    is_list = _LIST.match(plain) is not None or re.match(r"\s*\d\)", plain) is not None
    if is_list or _NUMBER_LATER.search(plain, match.end()):
        return None
    return int(match.group(1))


def _leading_word(text: str) -> bool | None:
    """Return the yes or no that a plain text starts with, where the rest of the text agrees."""
    while filler := _BEFORE.match(text):
        text = text[filler.end() :]
    match = _YES.match(text) or _NO.match(text)
    if match is None:
        return None
    answer = _YES.match(text) is not None
    rest = text[match.end() :]
    if is_retracted(rest) or contradicts(rest, answer) or _REPEATED.match(rest) or _DASHES.fullmatch(rest):
        return None
    opposite = _NO_LATER if answer else _YES_LATER
    return None if opposite.search(_ASIDE.sub(" ", rest)) else answer
