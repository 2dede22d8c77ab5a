"""Suggestions: errors about unknown names, with the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown_name(expected: str, name: str, valid: Iterable[str]) -> str:
    """Return the message for an unknown name.

    Args:
        expected: The sort of name that was expected, with an article: "a merger", "an option of ties".
        name: The name that was found.
        valid: All valid names, in the order in which the message lists them.

    Returns:
        "expected a merger among direct, ties, found 'tie': did you mean 'ties'?"
    """
    names = list(valid)
    close = get_close_matches(name, names, 1)
    hint = f": did you mean {close[0]!r}?" if close else ""
    return f"expected {expected} among {', '.join(names) or 'none'}, found {name!r}{hint}"
