"""Prompt cleaning: removal of trigger words, which have no meaning for a text encoder."""

from __future__ import annotations

import re
from collections.abc import Iterable


def clean_prompt(prompt: str, triggers: Iterable[str]) -> str:
    """Return a prompt without its trigger words and without the commas and spaces that they leave behind.

    Args:
        prompt: The prompt.
        triggers: Words or phrases. They match whole words in upper or lower case. Longer triggers are removed first.

    >>> clean_prompt("a sks cat in szn style, best quality", ["sks", "in szn style"])
    'a cat, best quality'
    """
    for trigger in sorted(filter(str.strip, triggers), key=len, reverse=True):
        pattern = r"\s+".join(map(re.escape, trigger.split()))
        prompt = re.sub(rf"(?<!\w){pattern}(?!\w)", " ", prompt, flags=re.IGNORECASE)
    parts = (" ".join(part.split()) for part in prompt.split(","))
    return ", ".join(part for part in parts if part)
