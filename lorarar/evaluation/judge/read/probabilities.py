"""Probabilities of an answer's first token: those of all ways to write yes against all ways to write no."""

from __future__ import annotations

import math
from collections.abc import Sequence

MIN_MASS = 0.5  # of yes and no together
_SLACK = 1e-3  # by which servers' rounded probabilities may exceed 1
# Spaces, among them those of SentencePiece and of byte-level vocabularies, and what punctuates or quotes an answer.
_AROUND = " \t\n\r\u2581\u0120\u010a.,;:!*_\"'`\u201c\u201d()[]"


def spelling(token: str) -> str:
    """A token without case and without the space, quotes and punctuation around it."""
    return token.strip(_AROUND).lower()


def probability_bounds(
    top: Sequence[tuple[str, float]], words: tuple[str, str], *, complete: bool
) -> tuple[float, float] | str | None:
    """Bounds of p(first word), given that the answer is one of the two words.

    The list may hide variants of either word: whatever mass it leaves over could belong to the one or the other.

    Args:
        top: (token, natural log of its probability).
        words: in lower case, such as ("yes", "no").
        complete: whether tokens that are not listed are neither word.

    Returns:
        (low, high); a reason to abstain when the two words have less than half of the mass; None when there are no
        usable probabilities at all.
    """
    mass = _masses(top, words)
    if mass is None:
        return None
    first, second, listed = mass
    if first + second < MIN_MASS:
        return f"{words[0]} and {words[1]} together have a probability of {first + second:.3f} only"
    hidden = 0.0 if complete else max(0.0, 1.0 - listed)
    whole = first + second + hidden
    return first / whole, min(1.0, (first + hidden) / whole)


def _masses(top: Sequence[tuple[str, float]], words: tuple[str, str]) -> tuple[float, float, float] | None:
    """Probabilities of the first word, of the second, and of everything listed; None for what are no probabilities."""
    found = dict.fromkeys(words, 0.0)
    listed = 0.0
    for token, log in top:
        if math.isnan(log) or log > _SLACK:
            return None
        listed += math.exp(log)
        if spelling(token) in found:
            found[spelling(token)] += math.exp(log)
    if not top or listed > 1 + 10 * _SLACK:
        return None
    return found[words[0]], found[words[1]], listed
