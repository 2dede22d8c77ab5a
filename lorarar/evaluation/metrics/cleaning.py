"""Prompts without the trigger words, which an encoder of texts does not know."""

from __future__ import annotations

import re
from collections.abc import Iterable


def clean_prompt(prompt: str, triggers: Iterable[str]) -> str:
    """A prompt without its trigger words or phrases, and without the commas and blanks that they leave behind.

    Args:
        triggers: words or phrases, found as whole words, whatever their case; longer ones go first.

    >>> clean_prompt("a sks cat in szn style, best quality", ["sks", "in szn style"])
    'a cat, best quality'
    """
    for trigger in sorted(filter(str.strip, triggers), key=len, reverse=True):
        words = r"\s+".join(map(re.escape, trigger.split()))
        prompt = re.sub(rf"(?<!\w){words}(?!\w)", " ", prompt, flags=re.IGNORECASE)
    parts = (" ".join(part.split()) for part in prompt.split(","))
    return ", ".join(part for part in parts if part)
