"""Suggestions: errors about unknown names and missing files, with the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

_NEAR_PATH = 0.75  # similarity, 0 to 1


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
    return f"expected {expected} among {', '.join(names) or 'none'}, found {name!r}{did_you_mean(name, names)}"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return ": did you mean 'ties'?" with the valid name nearest to the one that was found, or "" without one."""
    close = get_close_matches(name, list(valid), 1)
    return f": did you mean {close[0]!r}?" if close else ""


def nearest_path(path: str | Path) -> Path | None:
    """Return the existing path nearest to one that does not exist, or None.

    The first missing part of the path is compared with what lies beside it.
    """
    path = Path(path)
    for folder, part in zip([*path.parents][::-1], path.parts[-len(path.parents) :], strict=True):
        if (folder / part).exists():
            continue
        if not folder.is_dir():
            return None
        similar = {_similarity(part, entry.name): entry for entry in sorted(folder.iterdir())}
        best = max(similar, default=0.0)
        near = similar[best] / path.relative_to(folder / part) if best >= _NEAR_PATH else folder / part
        return near if near.exists() else None
    return None


def _similarity(name: str, other: str) -> float:
    """Return the similarity of two file names, 0 to 1; a suffix that they share does not count."""
    suffix = Path(name).suffix
    if other.endswith(suffix):
        name, other = name.removesuffix(suffix), other.removesuffix(suffix)
    return SequenceMatcher(None, name, other).ratio()
