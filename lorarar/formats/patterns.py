"""Patterns: the regular expressions of peft's configuration, matched in time linear in the path's length.

A pattern comes from a file, so that Python's engine, which can take exponential time, never sees it. This matcher keeps
the set of all places that the pattern can have reached. It takes literals, `.`, classes, groups with alternatives,
`^`, `$` and the quantifiers `?`, `*`, `+`, but no quantifier inside a repeated group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeAlias

_LONGEST = 200  # characters of a pattern
_Ends: TypeAlias = Callable[[str, set[int]], set[int]]
_LITERAL = re.compile(r"\^?(?:\w|-|\.|\\\.)+\$?")
_ATOM = re.compile(
    r"\\(?P<escaped>.)|\[(?P<negated>\^?)(?P<members>\]?(?:\\.|[^\]\\])*)\]|(?P<literal>[^\\\[\]()|?*+{}])"
)
_CLASSES = {"d": str.isdigit, "w": lambda letter: letter.isalnum() or letter == "_", "s": str.isspace}


def path_matches(pattern: str, path: str) -> bool:
    """Return whether a pattern matches the end of a dotted path, from a dot or the start: peft's rule for layers.

    Args:
        pattern: Regular expression, such as "to_q", "^blocks.0.attn" or "blocks\\.\\d+\\.attn.*".
        path: Path of a layer.

    Raises:
        ValueError: The pattern is longer than 200 characters, or beyond the syntax that is supported.
    """
    if is_literal(pattern):
        name = pattern.removeprefix("^").removesuffix("$").replace("\\.", ".")
        return path == name or (not pattern.startswith("^") and path.endswith(f".{name}"))
    starts = {0} | {index + 1 for index, letter in enumerate(path) if letter == "."}
    return len(path) in _compiled(pattern)(path, starts)


@lru_cache(maxsize=4096)
def is_literal(pattern: str) -> bool:
    """Return whether a pattern is the end of a path, or after "^" a whole path, without further syntax."""
    return _LITERAL.fullmatch(pattern) is not None


def whole_path_matches(pattern: str, path: str) -> bool:
    """Return whether a pattern matches a whole path: peft's rule for targets that are one expression.

    Raises:
        ValueError: As `path_matches`.
    """
    return len(path) in _compiled(pattern)(path, {0})


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> _Ends:
    if len(pattern) > _LONGEST:
        raise ValueError(f"a pattern of {len(pattern)} characters: write at most {_LONGEST}")
    ends, rest = _alternatives(pattern, repeated=False)
    if rest:
        raise ValueError(f"unbalanced ) in the pattern {pattern!r}")
    return ends


def _alternatives(text: str, *, repeated: bool) -> tuple[_Ends, str]:
    """Parse sequences between "|", up to ")" or the end; return their matcher and the rest of the text."""
    choices: list[_Ends] = []
    while True:
        sequence, text = _sequence(text, repeated=repeated)
        choices.append(sequence)
        if not text.startswith("|"):
            return (lambda path, starts: set().union(*(choice(path, starts) for choice in choices))), text
        text = text[1:]


def _sequence(text: str, *, repeated: bool) -> tuple[_Ends, str]:
    steps: list[_Ends] = []
    while text and text[0] not in "|)":
        step, quantifier, text = _step(text, repeated=repeated)
        if quantifier and repeated:
            raise ValueError(f"a quantifier {quantifier} inside a repeated group, which can take for ever")
        steps.append(_repeated(step, quantifier))

    def ends(path: str, starts: set[int]) -> set[int]:
        for step in steps:
            starts = step(path, starts)
        return starts

    return ends, text


def _step(text: str, *, repeated: bool) -> tuple[_Ends, str, str]:
    """Parse one atom or group with its quantifier; return its matcher, the quantifier and the rest."""
    if not text.startswith("("):
        atom = _ATOM.match(text)
        if atom is None:
            raise ValueError(f"the syntax {text[:10]!r} is not supported")
        return _atom(atom), *_quantifier(text[atom.end() :])
    inner = text[1:].removeprefix("?:")
    if inner.startswith("?"):
        raise ValueError(f"the syntax {text[:4]!r} is not supported")
    group, rest = _alternatives(inner, repeated=repeated)
    if not rest.startswith(")"):
        raise ValueError("a group without )")
    quantifier, after = _quantifier(rest[1:])
    if quantifier in ("*", "+"):
        _alternatives(inner, repeated=True)  # refuses quantifiers inside
    return group, quantifier, after


def _quantifier(text: str) -> tuple[str, str]:
    found = text[:1] if text[:1] in ("?", "*", "+") else ""
    rest = text[len(found) :]
    return found, rest.removeprefix("?") if found else rest  # a lazy quantifier reaches the same places


def _atom(atom: re.Match[str]) -> _Ends:
    escaped, members, literal = atom["escaped"], atom["members"], atom["literal"]
    if literal == "^":
        return lambda path, starts: starts & {0}
    if literal == "$":
        return lambda path, starts: starts & {len(path)}
    if members is not None:
        accepted, negated = list(_members(members)), bool(atom["negated"])
        return _letter(lambda letter: any(test(letter) for test in accepted) != negated)
    if literal == ".":
        return _letter(lambda letter: True)
    return _letter(_one(literal or "", "") if literal else _one("", escaped))


def _members(text: str) -> Iterator[Callable[[str], bool]]:
    """Yield the tests of a class: letters, ranges and escapes."""
    for part in re.finditer(r"\\(?P<escaped>.)|(?P<first>.)-(?P<last>[^\\])|(?P<letter>.)", text):
        first, last = part["first"], part["last"]
        if first is not None:
            yield lambda letter, first=first, last=last: first <= letter <= last  # type: ignore[misc]
        else:
            yield _one(part["letter"] or "", part["escaped"] or "")


def _one(literal: str, escaped: str) -> Callable[[str], bool]:
    """Return the test of one letter, or of an escape such as \\d or \\. ."""
    if escaped in _CLASSES:
        return _CLASSES[escaped]
    if escaped.isalnum():
        raise ValueError(f"the syntax '\\{escaped}' is not supported")
    return lambda letter: letter == (literal or escaped)


def _letter(accepts: Callable[[str], bool]) -> _Ends:
    return lambda path, starts: {i + 1 for i in starts if i < len(path) and accepts(path[i])}


def _repeated(step: _Ends, quantifier: str) -> _Ends:
    """Return the matcher of a quantified step."""
    if not quantifier:
        return step
    if quantifier == "?":
        return lambda path, starts: starts | step(path, starts)

    def ends(path: str, starts: set[int]) -> set[int]:
        reached = step(path, starts) if quantifier == "+" else set(starts)
        new = reached
        while new := step(path, new) - reached:
            reached = reached | new
        return reached

    return ends
