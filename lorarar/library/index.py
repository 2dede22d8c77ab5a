"""Index: the class of a library, one method for each command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorarar.formats import BaseWeights, load
from lorarar.library.adding import Added, add_folders
from lorarar.library.approximate import find_candidates, update_graph
from lorarar.library.attribution import Attribution, attribute_lora, nonnegative_least_squares
from lorarar.library.clusters import cluster_similarities
from lorarar.library.database import TABLES, Database
from lorarar.library.duplicates import Duplicate, candidate_pairs, find_duplicates, same_bytes
from lorarar.library.entries import Cluster, Entry, Filter, Hit
from lorarar.library.fingerprints import Array, fingerprint_lora
from lorarar.library.products import cosine, direction_cosine
from lorarar.library.search import Nearest, all_similarities, diversify, nearest
from lorarar.library.settings import DEFAULT_FINGERPRINT, DEFAULT_INDEX
from lorarar.lora import LoRA
from lorarar.storage import FormatError, track, unknown_name

_POOL, _EXACT_POOL = 4, 100  # candidates for each result that is chosen among them; candidates whose files are read
_ROUNDS, _STEP = 8, 4  # of the pursuit of inputs, and the entries that each adds, whose files are read
_DISTANCES = ("spectrum", "look")  # fingerprints without a natural origin
_KEPT = 64  # LoRAs in memory while pairs are compared


class Library(Database):
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
        super().__init__(index)
        self.base = base

    def add(self, folders: Sequence[str | Path], *, threads: int = 2, again: bool = False) -> Added:
        """Add the LoRA files below folders; files that are known and unchanged are not read.

        Args:
            folders: Folders or files.
            threads: Files that are read at once.
            again: Whether files that could not be read are tried again.

        Raises:
            FileNotFoundError: A folder does not exist.
        """
        added = add_folders(self, folders, base=self.base, threads=threads, again=again)
        update_graph(self)
        return added

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
            by: Fingerprint, one of `FINGERPRINTS` or `BASE_FINGERPRINTS`.
            where: Conditions on the entries; without a family, that of the LoRA.
            count: Number of neighbours.
            diversity: 0 takes the most similar ones; up to 1 prefers entries unlike each other.
            exact: Whether the 100 nearest by fingerprint are ordered by exact cosines, which reads their files.

        Raises:
            KeyError: There is no such entry or file.
            ValueError: The fingerprint is unknown or missing, or the diversity is not between 0 and 1.
        """
        if not 0 <= diversity <= 1:
            raise ValueError(f"expected `diversity` between 0 and 1, found {diversity}: give 0.3 for some variety")
        query, family, itself = self._query(lora, by)
        where = replace(where or Filter(), family=(where and where.family) or family)
        pool = max(count * _POOL, _EXACT_POOL if exact else 0) if diversity or exact else count
        found = self._nearest(by, query, where, pool + 1)
        others = found.ids != itself
        found = Nearest(found.ids[others], found.similarities[others], found.vectors[others])
        if diversity:
            found = diversify(found, len(found.ids) if exact else count, diversity)
        hits = self.hits(found)
        if exact:
            given, measure = self._load(lora), cosine if by == "sketch" else direction_cosine
            read = [(hit.entry, self.read(hit.entry)) for hit in hits]
            exactly = [Hit(entry, measure(given, other)) for entry, other in read if other is not None]
            hits = sorted(exactly, key=lambda hit: -hit.similarity)
        return hits[:count]

    def _query(self, lora: str | Path | LoRA, by: str) -> tuple[Array, str, int | None]:
        """Return the fingerprint of a query, its family, and its number if it is an entry."""
        _check_fingerprint(by)
        entry, given = None, lora
        if not isinstance(given, LoRA):
            try:
                entry = self.find(given)
            except KeyError:
                if not Path(given).exists():
                    raise
                given = load(given, self.base)
        number = entry.id if entry else self.find_sha256(given.sha256)  # type: ignore[union-attr]
        vector = None if number is None else self.vector(by, number)
        if vector is None and isinstance(given, LoRA):
            vector = fingerprint_lora(given).vectors.get(by)
        if vector is None:
            raise ValueError(f"expected the fingerprint {by!r} of {lora}, found none: add it, then draw its images")
        return vector, (entry or given).family, number  # type: ignore[union-attr]

    def _nearest(self, by: str, query: Array, where: Filter, count: int) -> Nearest:
        """Return the nearest entries, by the graph of neighbours where there is one."""
        euclidean = by in _DISTANCES
        if by == DEFAULT_FINGERPRINT:
            candidates = find_candidates(self, query.astype(np.uint8), count)
            if candidates is not None:
                found = nearest(self.vectors(by, where, candidates), query, count)
                if len(found.ids) == count:  # else the conditions leave too few
                    return found
        return nearest(self.vectors(by, where), query, count, euclidean=euclidean)

    def _load(self, lora: str | Path | LoRA) -> LoRA:
        if isinstance(lora, LoRA):
            return lora
        return load(lora if Path(lora).exists() else self.find(lora).path, self.base)

    def read(self, entry: Entry) -> LoRA | None:
        """Return the LoRA of an entry, named by its path; None if its files are gone or have changed."""
        for path in entry.paths:
            with suppress(FormatError):
                lora = load(path, BaseWeights(self.base) if self.base else None)
                if lora.sha256 == entry.sha256:
                    return replace(lora, name=path)
        return None

    def hits(self, found: Nearest) -> list[Hit]:
        """Return the entries of nearest fingerprints."""
        entries = self.entries(ids=found.ids)
        return [Hit(entry, float(s)) for entry, s in zip(entries, found.similarities, strict=True)]

    def all_vectors(self, by: str, where: Filter | None = None) -> tuple[NDArray[np.int64], Array]:
        """Return the numbers (n,) and the fingerprints (n, d) of entries."""
        _check_fingerprint(by)
        chunks = list(self.vectors(by, where)) or [(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))]
        return np.concatenate([ids for ids, _ in chunks]), np.concatenate([vectors for _, vectors in chunks])

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
        similar = all_similarities(vectors)
        labels = cluster_similarities(similar, count)
        entries = self.entries(ids=ids)
        clusters = []
        for label in range(labels.max() + 1):
            members = np.flatnonzero(labels == label)
            central = members[similar[np.ix_(members, members)].sum(0).argmax()]
            clusters.append(Cluster(entries[central].name, tuple(entries[i] for i in members)))
        return clusters

    def duplicates(self, where: Filter | None = None) -> list[Duplicate]:
        """Return files that are versions of each other, with the evidence; nothing is deleted.

        Args:
            where: Conditions on the entries.
        """
        entries = {entry.id: entry for entry in self.entries(where)}
        pairs = [(entries[i], entries[j]) for i, j in candidate_pairs(*self.all_vectors("sketch", where))]
        pairs = [(a, b) for a, b in pairs if a.family == b.family]
        read = lru_cache(_KEPT)(self.read)
        return [*same_bytes(entries.values()), *find_duplicates(track(pairs, "compare", unit="pairs"), read)]

    def attribute(self, lora: str | Path | LoRA, *, where: Filter | None = None) -> Attribution:
        """Return the entries whose weighted sum a LoRA is, as far as it is one.

        Args:
            lora: An entry, a file or a LoRA in memory.
            where: Conditions on the candidates.
        """
        merged = self._load(lora)
        entries = self.entries(ids=self._pursue(merged, where or Filter()))
        candidates = [other for other in map(self.read, entries) if other is not None]
        return attribute_lora(replace(merged, name=merged.name or "the LoRA"), candidates)

    def _pursue(self, merged: LoRA, where: Filter) -> list[int]:
        """Return the numbers of possible inputs: those nearest to the sketch, then to what they leave of it, and so on.

        Sketches are linear, so once the strong inputs of a sum are subtracted, the weak ones are the nearest.
        """
        target, family, itself = self._query(merged, "sketch")
        where = replace(where, family=where.family or family)
        rows: dict[int, Array] = {}
        left = target
        for _ in range(_ROUNDS):
            found = nearest(self.vectors("sketch", where), left, _STEP + len(rows) + 1)
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
        with self.transaction():
            self.remove_entries(sorted(chosen))
        return len(chosen)

    def summary(self) -> dict[str, object]:
        """Return the numbers of entries by family, kind, algorithm and rank, and the files that could not be read."""
        entries = self.entries()
        files = sum(len(entry.paths) for entry in entries)
        summary: dict[str, object] = {"index": str(self.path), "entries": len(entries), "files": files}
        for field in ("family", "kind", "algorithm", "rank"):
            counts = Counter(str(getattr(entry, field) or "unknown") for entry in entries)
            summary[field] = ", ".join(f"{value} {number}" for value, number in counts.most_common(8))
        return summary | {"unreadable": len(self.failures())} | self.failures()


def _check_fingerprint(name: str) -> None:
    if name not in TABLES:
        raise ValueError(unknown_name("a fingerprint", name, TABLES))
