"""Errors about unknown names, with the nearest known one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not known.

    Args:
        what: What was expected, with an article: "a merger", "an option of ties".
        name: The name that was found.
        known: All names that would do, in the order in which the message lists them.

    Returns:
        "expected a merger among direct, ties, found 'tie': did you mean 'ties'?"
    """
    names = list(known)
    close = get_close_matches(name, names, 1)
    hint = f": did you mean {close[0]!r}?" if close else ""
    return f"expected {what} among {', '.join(names) or 'none'}, found {name!r}{hint}"
