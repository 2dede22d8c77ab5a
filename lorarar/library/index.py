"""Index: the class of a library, one method for each command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np

from lorarar.formats import BaseWeights, load
from lorarar.library.adding import Added, add_folders
from lorarar.library.attribution import Attribution, attribute_lora, nonnegative_least_squares
from lorarar.library.clusters import cluster_vectors
from lorarar.library.database import TABLES, Database
from lorarar.library.duplicates import Duplicate, candidate_pairs, find_duplicates, same_bytes
from lorarar.library.entries import Cluster, Entry, Filter, Hit
from lorarar.library.fingerprints import Vector, fingerprint_lora
from lorarar.library.lookup import find_entry, search_words
from lorarar.library.products import cosine, direction_cosine
from lorarar.library.search import Nearest, diversify, nearest
from lorarar.library.settings import DEFAULT_FINGERPRINT, DEFAULT_INDEX
from lorarar.lora import LoRA
from lorarar.storage import FormatError, track, unknown_name

_POOL, _EXACT_POOL = 4, 100  # candidates for each result that is chosen among them; candidates whose files are read
_ROUNDS, _STEP = 8, 4  # of the pursuit of inputs, and the entries that each adds, whose files are read
_DISTANCES = ("spectrum", "look")  # fingerprints without a natural origin
_KEPT = 64  # LoRAs in memory while pairs are compared


class Library:
    """A library of LoRA files: an index in one SQLite file. The LoRA files stay where they are.

    Args:
        index: The file of the index, created if missing.
        base: Base model, for files whose deltas depend on its weights (DoRA, IA3, OFT, GLoRA).

    Raises:
        FormatError: The file is no index.

    Examples:
        >>> with Library("library.sqlite") as library:  # doctest: +SKIP
        ...     library.add(["loras"])
        ...     library.neighbours("loras/cat.safetensors", count=5)
    """

    def __init__(self, index: str | Path = DEFAULT_INDEX, *, base: str | Path | None = None) -> None:
        self.database = Database(Path(index))
        self.base = base

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of the index."""
        self.database.close()

    def add(self, folders: Sequence[str | Path], *, threads: int = 2, again: bool = False) -> Added:
        """Add the LoRA files below folders; files that are known and unchanged are not read.

        Args:
            folders: Folders or files.
            threads: Files that are read at once.
            again: Whether files that could not be read are tried again.

        Raises:
            FileNotFoundError: A folder does not exist.
        """
        return add_folders(self.database, folders, base=self.base, threads=threads, again=again)

    def entries(self, where: Filter | None = None) -> list[Entry]:
        """Return the entries by name."""
        return self.database.entries(where)

    def failures(self) -> dict[str, str]:
        """Return path -> the reason why the file could not be read."""
        return self.database.failures()

    def find(self, name: str | Path) -> Entry:
        """Return the entry that a path, a name or the beginning of a hash means.

        Raises:
            KeyError: There is none, or several have this name.
        """
        return find_entry(self.database, str(name))

    def search(self, text: str = "", *, where: Filter | None = None, count: int = 10) -> list[Entry]:
        """Return entries whose name, trigger words, tags or descriptions contain every word, names first.

        Args:
            text: Words; without any, all entries match.
            where: Conditions on the entries.
            count: Largest number of entries.
        """
        return search_words(self.database, text.split(), where or Filter(), count)

    def neighbours(
        self,
        lora: str | Path | LoRA,
        *,
        by: str = DEFAULT_FINGERPRINT,
        where: Filter | None = None,
        count: int = 10,
        diversity: float = 0.0,
        exact: bool = False,
    ) -> list[Hit]:
        """Return the entries most similar to a LoRA, without the LoRA itself.

        Args:
            lora: An entry by path, name or hash, a file that is not in the index, or a LoRA in memory.
            by: Fingerprint: "direction", "sketch" or "spectrum".
            where: Conditions on the entries; without a family, that of the LoRA.
            count: Number of neighbours.
            diversity: 0 takes the most similar ones; up to 1 prefers entries unlike each other.
            exact: Whether the 100 nearest by fingerprint are ordered by exact cosines, which reads their files.

        Raises:
            KeyError: There is no such entry or file.
            ValueError: The fingerprint is unknown, or the diversity is not between 0 and 1.
        """
        _check_fingerprint(by)
        if not 0 <= diversity <= 1:
            raise ValueError(f"expected `diversity` between 0 and 1, found {diversity}: give 0.3 for some variety")
        vector, family, itself = self._query(lora, by)
        where = where or Filter()
        where = replace(where, family=where.family or family)
        pool = max(count * _POOL, _EXACT_POOL if exact else 0) if diversity or exact else count
        found = nearest(self.database.vectors(by, where), vector, pool + 1, euclidean=by in _DISTANCES)
        others = np.flatnonzero(found.ids != (-1 if itself is None else itself))
        found = Nearest(found.ids[others], found.similarities[others], found.vectors[others])
        if diversity:
            found = diversify(found, len(found.ids) if exact else count, diversity)
        hits = self.hits(found)
        return (self._exactly(lora, hits, cosine if by == "sketch" else direction_cosine) if exact else hits)[:count]

    def _query(self, lora: str | Path | LoRA, by: str) -> tuple[Vector, str, int | None]:
        """Return the fingerprint of a query, its family, and its number if it is an entry."""
        if not isinstance(lora, LoRA):
            try:
                entry = self.find(lora)
            except KeyError:
                if not Path(lora).exists():
                    raise
                lora = load(lora, self.base)
            else:
                vector = self.database.vector(by, entry.id)
                if vector is None:
                    raise ValueError(f"{entry.name} has no fingerprint {by!r}: add its folder with a base model")
                return vector, entry.family, entry.id
        itself = self.database.find_sha256(lora.sha256) if lora.sha256 else None
        return fingerprint_lora(lora).vectors[by], lora.family, itself

    def _exactly(
        self, lora: str | Path | LoRA, hits: Sequence[Hit], measure: Callable[[LoRA, LoRA], float]
    ) -> list[Hit]:
        query = lora if isinstance(lora, LoRA) else self._load(lora)
        loras = [(hit.entry, self.read(hit.entry)) for hit in hits]
        ranked = [Hit(entry, measure(query, other)) for entry, other in loras if other is not None]
        return sorted(ranked, key=lambda hit: -hit.similarity)

    def _load(self, name: str | Path) -> LoRA:
        return load(name if Path(name).exists() else self.find(name).path, self.base)

    def read(self, entry: Entry) -> LoRA | None:
        """Return the LoRA of an entry, named by its path; None if its files are gone or have changed."""
        for path in entry.paths:
            with suppress(FormatError):
                lora = load(path, BaseWeights(self.base) if self.base else None)
                if lora.sha256 == entry.sha256:
                    return replace(lora, name=path)
        return None

    def hits(self, found: Nearest) -> list[Hit]:
        """Return the entries of nearest vectors."""
        entries = self.database.entries(ids=found.ids.tolist())
        return [Hit(entry, float(s)) for entry, s in zip(entries, found.similarities, strict=True)]

    def cluster(
        self, *, by: str = DEFAULT_FINGERPRINT, where: Filter | None = None, count: int | None = None
    ) -> list[Cluster]:
        """Return clusters of entries, the largest first.

        Args:
            by: Fingerprint.
            where: Conditions on the entries; LoRAs of different families are never alike.
            count: Number of clusters; None takes the number with the best silhouette.

        Raises:
            ValueError: The fingerprint is unknown, or there are too many entries.
        """
        ids, vectors = self.all_vectors(by, where)
        if not len(ids):
            return []
        labels = cluster_vectors(vectors, count)
        entries = self.database.entries(ids=[int(i) for i in ids])
        clusters = []
        for label in range(labels.max() + 1):
            members = np.flatnonzero(labels == label)
            central = members[(vectors[members] @ vectors[members].mean(0)).argmax()]
            clusters.append(Cluster(entries[central].name, tuple(entries[i] for i in members)))
        return clusters

    def all_vectors(self, by: str, where: Filter | None = None) -> tuple[np.ndarray, Vector]:
        """Return the numbers (n,) and the fingerprints (n, d) of entries."""
        _check_fingerprint(by)
        chunks = list(self.database.vectors(by, where)) or [(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))]
        return np.concatenate([ids for ids, _ in chunks]), np.concatenate([vectors for _, vectors in chunks])

    def duplicates(self, where: Filter | None = None) -> list[Duplicate]:
        """Return files that are versions of each other, with the evidence; nothing is deleted.

        Args:
            where: Conditions on the entries.
        """
        entries = {entry.id: entry for entry in self.entries(where)}
        found = list(same_bytes(entries.values()))
        read = lru_cache(_KEPT)(self.read)
        ids, sketches = self.all_vectors("sketch", where)
        pairs = [
            (entries[i], entries[j])
            for i, j, _ in candidate_pairs(ids, sketches)
            if entries[i].family == entries[j].family
        ]
        return found + list(find_duplicates(track(pairs, "compare", unit="pairs"), read))

    def attribute(self, lora: str | Path | LoRA, *, where: Filter | None = None) -> Attribution:
        """Return the entries whose weighted sum a LoRA is, as far as it is one.

        Args:
            lora: An entry, a file or a LoRA in memory.
            where: Conditions on the candidates.
        """
        merged = lora if isinstance(lora, LoRA) else self._load(lora)
        entries = self.database.entries(ids=self._pursue(merged, where or Filter()))
        candidates = [other for other in map(self.read, entries) if other is not None]
        return attribute_lora(replace(merged, name=merged.name or "the LoRA"), candidates)

    def _pursue(self, merged: LoRA, where: Filter) -> list[int]:
        """Return the numbers of possible inputs: those nearest to the sketch, then to what they leave of it, and so on.

        Sketches are linear, so once the strong inputs of a sum are subtracted, the weak ones are the nearest.
        """
        target, family, itself = self._query(merged, "sketch")
        where = replace(where, family=where.family or family)
        rows: dict[int, Vector] = {}
        left = target
        for _ in range(_ROUNDS):
            found = nearest(self.database.vectors("sketch", where), left, _STEP + len(rows) + 1)
            new = [i for i, number in enumerate(found.ids) if int(number) not in rows and number != itself]
            rows |= {int(found.ids[i]): found.vectors[i] for i in new[:_STEP]}
            if not new:
                break
            known = np.stack(list(rows.values())).astype(np.float64)
            left = (target - nonnegative_least_squares(known @ known.T, known @ target) @ known).astype(np.float32)
        return list(rows)

    def remove(self, names: Sequence[str | Path] = (), *, missing: bool = False) -> int:
        """Remove entries from the index, never files from the disk; return their number.

        Args:
            names: Entries by path, name or hash.
            missing: Whether entries whose files are all gone are removed.
        """
        chosen = {self.find(name).id for name in names}
        if missing:
            chosen |= {e.id for e in self.entries() if not any(Path(path).exists() for path in e.paths)}
        with self.database.transaction():
            self.database.remove_entries(sorted(chosen))
        return len(chosen)

    def text(self) -> str:
        """Return the numbers of entries by family, kind, algorithm and rank, and the files that could not be read."""
        entries = self.entries()
        files = sum(len(entry.paths) for entry in entries)
        lines = [f"{self.database.path}: {len(entries)} LoRAs in {files} files, {len(self.failures())} unreadable"]
        for field in ("family", "kind", "algorithm", "rank"):
            counts = Counter(str(getattr(entry, field) or "unknown") for entry in entries)
            lines.append(f"  {field:<10} " + ", ".join(f"{value} {number}" for value, number in counts.most_common(8)))
        return "\n".join([*lines, *(f"  {path}: {reason}" for path, reason in self.failures().items())])

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries())

    def __len__(self) -> int:
        return int(self.database.connection.execute("SELECT count(*) FROM entries").fetchone()[0])


def _check_fingerprint(name: str) -> None:
    if name not in TABLES:
        raise ValueError(unknown_name("a fingerprint", name, TABLES))
