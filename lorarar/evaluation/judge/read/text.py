"""Text of a reply: the answer without thoughts, special tokens, invisible characters and markup around it."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Full-width signs and letters, without the digits: "\uff14" is not the digit that a scale asks for.
_FULL_WIDTH = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if not 0xFF10 <= code <= 0xFF19}
# Typographic and full-width signs become plain ones, so that the patterns need only the latter.
_PLAIN = str.maketrans(
    {
        **_FULL_WIDTH, "\uff08": " (", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"',
        "\u00ab": '"', "\u00bb": '"', "\u2013": " - ", "\u2014": " - ", "\u2026": "...", "\u3002": ".",
    }
)  # fmt: skip
# Zero-width characters and NUL; between two letters they stay, because they make another word.
_INVISIBLE = re.compile(r"(?<![^\W\d_])[\u200b-\u200d\u2060\ufeff\x00]+|[\u200b-\u200d\u2060\ufeff\x00]+(?![^\W\d_])")
_SPECIAL = r"(?:<\|[^|<>]{1,40}\|>|</?s>|<(?:eos|bos|pad|end_of_turn|end_of_utterance)>)"
_SPECIAL_TOKEN = re.compile(_SPECIAL)
_CONCLUSION = re.compile(r"<conclusion>(.*?)</conclusion>", re.DOTALL | re.IGNORECASE)
# Long runs of one sign carry nothing, and would make searches slow.
_RUN = re.compile(r"([^\w])\1{3,}")
_FINAL_CHANNEL = "<|channel|>final<|message|>"
_TAG = r"(?:think|thinking|thought|thoughts|reasoning)"
_THOUGHTS = re.compile(
    rf"\s*(?:<({_TAG})>.*?</\1>|\[THINK\].*?\[/THINK\]|\u25c1think\u25b7.*?\u25c1/think\u25b7)", re.DOTALL
)
_OPENED = re.compile(rf"\s*(?:<{_TAG}>|\[THINK\]|\u25c1think\u25b7)")
_CLOSED = re.compile(rf"</{_TAG}>|\[/THINK\]|\u25c1/think\u25b7")
_FENCE = re.compile(r"```[\w-]*\n(.*?)\n?\s*```", re.DOTALL)
_BOXED = re.compile(r"\$*\\(?:boxed|text)\{(?:\\text\{)?([^{}]*)\}{1,2}\$*")
_MARKUP = re.compile(r"</?(?:answer|final_answer|final|score|rating|b|strong|i|em|p)>")
_TABLE = re.compile(r"\|[^|\n]*\|\n\|[-: ]+\|\n\|([^|\n]*)\|")


def without_thoughts(text: str) -> str:
    """Return the text after the thoughts of a model; "" where they do not end.

    Thoughts stand in tags at the start of the text. Where a chat template writes the opening tag into the prompt, only
    the closing tag is in the text.
    """
    if _FINAL_CHANNEL in text:
        return text.rpartition(_FINAL_CHANNEL)[2]
    if conclusion := _CONCLUSION.search(text):
        return conclusion.group(1)
    rest = text
    while block := _THOUGHTS.match(rest):
        rest = rest[block.end() :]
    if _OPENED.match(rest):
        return ""
    closings = list(_CLOSED.finditer(rest))
    if not closings:
        return rest
    # A second ending after a closed block leaves open which part is the answer.
    return rest[closings[-1].end() :] if rest is text else ""


def plain_text(text: str) -> str:
    """Return the text in lower case with plain signs, without special tokens, invisible characters and markup.

    Code fences, boxes, answer tags and a table of one cell are removed; list marks and headings stay.
    """
    text = _RUN.sub(r"\1\1\1", _INVISIBLE.sub("", text).translate(_PLAIN))
    text = _SPECIAL_TOKEN.sub(" ", text).strip()
    for pattern in (_FENCE, _TABLE):
        if block := pattern.fullmatch(text):
            text = block.group(1)
    return _MARKUP.sub("", _BOXED.sub(r"\1", text)).strip().lower()


def json_parts(text: str) -> Iterator[str]:
    """Yield the text around the JSON of a reply last, and the JSON first.

    The JSON is the only fenced block, or else the text from the first brace to the last one.
    """
    text = _SPECIAL_TOKEN.sub(" ", _INVISIBLE.sub("", text)).strip()
    fences = _FENCE.findall(text)
    if len(fences) == 1:
        yield fences[0].strip()
        yield _FENCE.sub("", text)
        return
    start, end = text.find("{"), text.rfind("}")
    if fences or start < 0 or end < start or text.startswith(("[", '"')):
        yield text
        yield ""
        return
    yield text[start : end + 1]
    yield text[:start] + " " + text[end + 1 :]
