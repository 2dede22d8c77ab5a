"""Probabilities of the first answer token: all spellings of one word against all spellings of the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

MIN_MASS = 0.5  # of yes and no together
_SLACK = 1e-3  # by how much a server's rounded probabilities may exceed 1
# Spaces, including those of SentencePiece and of byte-level vocabularies, punctuation and quotes.
_AROUND = " \t\n\r\u2581\u0120\u010a.,;:!*_\"'`\u201c\u201d()[]"


def spelling(token: str) -> str:
    """Return a token in lower case, without the space, quotes and punctuation around it."""
    return token.strip(_AROUND).lower()


def probability_bounds(
    top: Sequence[tuple[str, float]], words: tuple[str, str], *, complete: bool
) -> tuple[float, float] | str | None:
    """Compute bounds of p(first word), given that the answer is one of the two words.

    The list may omit variants of either word: the remaining probability mass could belong to either.

    Args:
        top: (token, natural log of its probability).
        words: In lower case, such as ("yes", "no").
        complete: Whether all tokens of either word are listed.

    Returns:
        (low, high); a reason to abstain where the two words have less than half of the mass; None without usable
        probabilities.
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
    """Return the mass of the first word, of the second, and of the whole list; None for invalid probabilities."""
    masses = dict.fromkeys(words, 0.0)
    listed = 0.0
    for token, log in top:
        if math.isnan(log) or log > _SLACK:
            return None
        listed += math.exp(log)
        if spelling(token) in masses:
            masses[spelling(token)] += math.exp(log)
    if not top or listed > 1 + 10 * _SLACK:
        return None
    return masses[words[0]], masses[words[1]], listed
