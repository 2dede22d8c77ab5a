"""Search: nearest vectors in chunks of bounded memory, relevance with diversity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorarar.library.fingerprints import Vector

Chunks = Iterable[tuple[NDArray[np.int64], Vector]]


class Nearest(NamedTuple):
    """The nearest vectors, most similar first.

    Attributes:
        ids: Numbers of the entries, (n,).
        similarities: Cosines, or negative distances, (n,).
        vectors: The vectors themselves, (n, d).
    """

    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]
    vectors: Vector


def nearest(chunks: Chunks, query: Vector, count: int, *, euclidean: bool = False) -> Nearest:
    """Return the vectors most similar to a query, exactly.

    Args:
        chunks: Numbers (n,) and vectors (n, d) of the entries, some at a time.
        query: Vector (d,).
        count: Number of neighbours.
        euclidean: Whether similarity is the negative distance; else it is the cosine, 0 for a zero vector.
    """
    best = Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, len(query)), np.float32))
    for ids, vectors in chunks:
        scores = _similarities(vectors, query, euclidean)
        kept = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
        ids, scores = np.concatenate([best.ids, ids[kept]]), np.concatenate([best.similarities, scores[kept]])
        order = np.lexsort((ids, -scores))[:count]
        best = Nearest(ids[order], scores[order], np.concatenate([best.vectors, vectors[kept]])[order])
    return best


def _similarities(vectors: Vector, query: Vector, euclidean: bool) -> NDArray[np.float32]:
    dots = vectors @ query
    squares = np.einsum("nd,nd->n", vectors, vectors)
    if euclidean:
        distances: NDArray[np.float32] = np.sqrt(np.maximum(squares - 2 * dots + query @ query, 0))
        return -distances
    lengths = np.sqrt(squares * (query @ query))
    cosines: NDArray[np.float32] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return cosines


def unit(vectors: Vector) -> Vector:
    """Return vectors (.., d) of length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Vector = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return units


def diversify(found: Nearest, count: int, diversity: float) -> Nearest:
    """Choose neighbours that are similar to the query and unlike each other.

    One after the other the entry is taken that maximises (1 - diversity) s_q - diversity max s_c, with its similarity
    s_q to the query and s_c to those chosen before (maximal marginal relevance).

    Args:
        found: Candidates, several times `count`.
        count: Number of entries to choose.
        diversity: 0 takes the most similar ones, 1 the most different ones.

    Reference: J. Carbonell and J. Goldstein, "The use of MMR", SIGIR 1998.
    """
    vectors = unit(found.vectors)
    chosen: list[int] = []
    closest = np.full(len(found.ids), -1.0, np.float32)  # cosine with the nearest chosen one
    for _ in range(min(count, len(found.ids))):
        gain = (1 - diversity) * found.similarities - diversity * (closest if chosen else 0.0)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        closest = np.maximum(closest, vectors @ vectors[chosen[-1]])
    return Nearest(found.ids[chosen], found.similarities[chosen], found.vectors[chosen])
