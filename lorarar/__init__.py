"""Merge content and style LoRAs with a hypernetwork: train it, merge at once, measure the images.

`from lorarar import load, merge, save, mergers`: read files, merge them by any method, write the result;
`mergers.MERGERS` is the table of methods.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorarar import mergers
    from lorarar.api import merge
    from lorarar.formats import load, save

__all__ = ["load", "merge", "mergers", "save"]
_HOMES = {"load": "lorarar.formats", "save": "lorarar.formats", "merge": "lorarar.api"}


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for: torch takes a second."""
    if name == "mergers":
        return import_module("lorarar.mergers")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lorarar' has no attribute {name!r}")
