"""Descriptions: what each merger does, needs, takes and leaves, in words that stand in descriptions.toml."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lorarar.mergers.table import MERGERS, Merger

_FILE = Path(__file__).with_name("descriptions.toml")
_BARE_NEEDS = {"runtime": "base"}
LEAVES: Mapping[str, str] = {
    "sum": "an ordinary LoRA file whose ranks are the sums of the inputs' ranks",
    "dense": "deltas of full rank, truncated to the sum of the inputs' ranks, or kept whole in a large file",
    "largest": "an ordinary LoRA file of the inputs' largest rank",
    "nothing": "nothing to save: it acts while `lorarar generate` samples",
}


class Description(NamedTuple):
    """What a merger does, in words.

    Attributes:
        does: One sentence.
        formula: What it computes; "" where it is not known.
        needs: What it needs besides the LoRAs: "nothing", "network", "base", "base, images", "base, words" ..
        takes: Number of LoRAs: "any" or "two".
        leaves: A key of `LEAVES`.
        options: Its options with their meanings.
    """

    does: str
    formula: str
    needs: str
    takes: str
    leaves: str
    options: Mapping[str, str]


def describe_merger(name: str) -> Description:
    """Return the description of a merger; of one that a plugin adds, from its docstring.

    Raises:
        ValueError: No merger has the name.
    """
    merger, known = MERGERS.find(name), _read()
    entry = known.get(name, {}) if name in MERGERS.own() else {}
    leaves = {"runtime": "nothing", "delta": "sum" if entry else "dense"}.get(merger.kind, "sum")
    return Description(
        entry.get("does") or _first_line(merger),
        entry.get("formula", ""),
        merger.needs.replace("descriptions", "words").replace(" ", ", ") or _BARE_NEEDS.get(merger.kind, "nothing"),
        "two" if merger.pairs_only else "any",
        entry.get("leaves", leaves),
        {option: known["options"].get(option, "") for option in merger.options},
    )


def mergers_data() -> list[dict[str, object]]:
    """Return all mergers as plain data: their rows of the table, and what they do and leave."""
    return [
        {
            "name": row.name,
            "does": describe_merger(row.name).does,
            "kind": row.kind,
            "loras": 2 if row.pairs_only else None,
            "needs": row.needs or None,
            "leaves": describe_merger(row.name).leaves,
            "options": dict(row.options),
            "citation": row.citation,
        }
        for row in MERGERS.values()
    ]


@cache
def _read() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def _first_line(merger: Merger) -> str:
    """Return the first line of a function's docstring, or the citation."""
    text = inspect.getdoc(merger.call) or "" if inspect.isfunction(merger.call) and not merger.learned else ""
    return text.partition("\n")[0] or merger.citation
