"""HTML from text that nobody vouches for: whatever is not markup made here is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

# Nothing may be fetched, run or sent, whatever slipped into the page.
_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
_EMPTY = {"img", "meta", "br"}


class Markup(str):
    """Text that is HTML already; made by `element` only."""

    __slots__ = ()


def element(name: str, *children: str | Iterable[Markup], class_: str = "", **attributes: str | int) -> Markup:
    """An element with escaped children and attributes.

    Args:
        children: `Markup` is kept, other text is escaped; iterables of `Markup` are joined.
        class_: the classes, "" for none.
    """
    named = {"class": class_, **attributes} if class_ else attributes
    opened = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in named.items()
    )
    if name in _EMPTY:
        return Markup(f"<{name}{opened}>")
    return Markup(f"<{name}{opened}>{''.join(map(_inner, children))}</{name}>")


def page(title: str, body: Iterable[Markup], style: str = "") -> Markup:
    """A whole page; ``style`` is a style sheet of our own."""
    head = [
        Markup('<meta charset="utf-8">'),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        Markup(f"<style>\n{style}</style>") if style else Markup(),
    ]
    return Markup(f'<!doctype html>\n<html lang="en">\n{element("head", head)}\n{element("body", body)}\n</html>\n')


def _inner(child: str | Iterable[Markup]) -> str:
    if isinstance(child, Markup):
        return child
    return html.escape(child) if isinstance(child, str) else "\n".join(map(_inner, child))
