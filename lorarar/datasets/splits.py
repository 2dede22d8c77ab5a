"""Splits: which concepts train a network, validate it and test it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets.concept_files import read_split_tables
from lorarar.datasets.concepts import Concept, Pair


@dataclass(frozen=True)
class Split:
    """The concepts of one split; its pairs are all combinations of a content and a style."""

    contents: tuple[str, ...]
    styles: tuple[str, ...]

    def pairs(self, concepts: Mapping[str, Concept]) -> list[Pair]:
        """Return all pairs, contents varying slowest."""
        return [Pair(concepts[c], concepts[s]) for c, s in itertools.product(self.contents, self.styles)]


def load_splits(path: Path, name: str) -> dict[str, Split]:
    """Read the splits of one name and check that they are disjoint.

    Raises:
        FileNotFoundError: The file does not exist.
        KeyError: The file has no splits of that name.
        ValueError: A concept is in two splits.
    """
    tables = read_split_tables(path)
    if name not in tables:
        raise KeyError(f"{path}: expected one of {sorted(tables)}, found {name!r}")
    splits = {split: Split(tuple(parts["contents"]), tuple(parts["styles"])) for split, parts in tables[name].items()}
    check_disjoint_splits(splits, path)
    return splits


def check_disjoint_splits(splits: Mapping[str, Split], origin: object = "splits") -> None:
    """Raise ValueError if a concept is in two splits."""
    owner: dict[str, str] = {}
    for split, members in splits.items():
        for name in (*members.contents, *members.styles):
            if owner.setdefault(name, split) != split:
                raise ValueError(
                    f"{origin}: expected disjoint splits, found {name!r} in {owner[name]!r} and in {split!r}: "
                    "results on it would be a leak; take it out of one of them"
                )
