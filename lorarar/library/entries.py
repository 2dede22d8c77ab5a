"""Entries: what the index holds of a LoRA, and filters of entries."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from lorarar.formats import StoredLoRA, trigger_phrases
from lorarar.library.kinds import PredictedKind
from lorarar.lora import LoRA

# Metadata that a search looks through.
_TEXT_KEYS = (
    *("concept", "phrase", "ss_output_name", "ss_training_comment", "ss_tag_frequency", "ss_dataset_dirs"),
    *("modelspec.title", "modelspec.description", "modelspec.tags"),
)
_TEXT_LIMIT = 4000  # characters


@dataclass(frozen=True)
class Entry:
    """A LoRA in the index.

    Attributes:
        id: Number in the index.
        sha256: SHA-256 of the file, 64 hexadecimal digits.
        name: Name of the file without its ending.
        family: A key of `lorarar.lora.families.FAMILIES`, or "".
        dialect: Dialect of most keys.
        algorithm: Algorithm of most layers, such as "lora" or "lokr".
        rank: Most frequent rank of a stored layer; 0 without factors.
        layers: Number of layers.
        norm: Frobenius norm of all deltas.
        kind: "content", "style" or "".
        probability: 1 for a kind that the file states, else that of the prediction; 0 without a kind.
        triggers: Trigger phrases.
        text: Text of the metadata that a search looks through.
        paths: All files with these bytes.
    """

    id: int
    sha256: str
    name: str
    family: str
    dialect: str
    algorithm: str
    rank: int
    layers: int
    norm: float
    kind: str
    probability: float
    triggers: tuple[str, ...]
    text: str
    paths: tuple[str, ...]

    @property
    def path(self) -> str:
        """The first of the files."""
        return self.paths[0] if self.paths else ""

    def row(self) -> dict[str, object]:
        """Return the entry as plain data, without the text."""
        names = ("name", "family", "kind", "probability", "algorithm", "rank", "layers", "norm")
        row: dict[str, object] = {name: getattr(self, name) for name in names}
        row |= {"probability": round(self.probability, 3), "norm": float(f"{self.norm:.4g}")}
        more = {"triggers": ", ".join(self.triggers), "sha256": self.sha256, "path": self.path}
        return row | more | {"copies": len(self.paths)}


@dataclass(frozen=True)
class Hit:
    """An entry with its similarity to the query: a cosine, or a negative distance for "spectrum" and "look"."""

    entry: Entry
    similarity: float

    def row(self) -> dict[str, object]:
        """Return the similarity and the entry as plain data."""
        return {"similarity": round(self.similarity, 4)} | self.entry.row()


@dataclass(frozen=True)
class Cluster:
    """Entries that are alike; the name is that of the entry most similar to the others."""

    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Filter:
    """Conditions on entries; None admits all.

    Attributes:
        family: Family of the base model.
        kind: "content" or "style", stated or predicted.
        rank: Rank of the factors.
    """

    family: str | None = None
    kind: str | None = None
    rank: int | None = None

    def conditions(self) -> tuple[str, list[object]]:
        """Return an SQL condition on the table of entries, and its parameters."""
        chosen = {name: value for name, value in vars(self).items() if value is not None}
        return " AND ".join([f"e.{name} = ?" for name in chosen] or ["1"]), list(chosen.values())


def entry_values(stored: StoredLoRA, lora: LoRA, norm: float, kind: PredictedKind | None) -> dict[str, Any]:
    """Return the columns of a new entry: a file as read, its deltas, their norm, and the kind if it is known."""
    ranks = Counter(rank for rank in stored.ranks.values() if rank)
    triggers = trigger_phrases(lora)
    texts = [stored.path.stem, *triggers, *(stored.header.get(key, "") for key in _TEXT_KEYS)]
    return {
        "sha256": stored.sha256,
        "name": stored.path.stem,
        "family": lora.family,
        "dialect": stored.dialect,
        "algorithm": Counter(stored.algorithms.values()).most_common(1)[0][0],
        "rank": ranks.most_common(1)[0][0] if ranks else 0,
        "layers": len(lora.layers),
        "norm": norm,
        "kind": kind.kind if kind else "",
        "probability": kind.probability if kind else 0.0,
        "triggers": json.dumps(triggers),
        "text": " ".join(filter(None, texts))[:_TEXT_LIMIT],
    }
