"""Search: similarities of fingerprints, nearest ones in chunks of bounded memory, relevance with diversity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorarar.library.fingerprints import Array, Vector

Chunks = Iterable[tuple[NDArray[np.int64], Array]]


class Nearest(NamedTuple):
    """The nearest fingerprints, most similar first.

    Attributes:
        ids: Numbers of the entries, (n,).
        similarities: Cosines, or negative distances, (n,).
        vectors: The fingerprints themselves, (n, d).
    """

    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]
    vectors: Array


def nearest(chunks: Chunks, query: Array, count: int, *, euclidean: bool = False) -> Nearest:
    """Return the fingerprints most similar to a query, exactly.

    Args:
        chunks: Numbers (n,) and fingerprints (n, d) of the entries, some at a time.
        query: Fingerprint (d,).
        count: Number of neighbours.
        euclidean: Whether similarity is the negative distance; else it is the cosine.
    """
    best = Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, len(query)), query.dtype))
    for ids, vectors in chunks:
        scores = -np.linalg.norm(vectors - query, axis=1) if euclidean else similarities(vectors, query)
        kept = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
        ids, scores = np.concatenate([best.ids, ids[kept]]), np.concatenate([best.similarities, scores[kept]])
        order = np.lexsort((ids, -scores))[:count]
        best = Nearest(ids[order], scores[order], np.concatenate([best.vectors, vectors[kept]])[order])
    return best


def similarities(vectors: Array, query: Array) -> NDArray[np.float32]:
    """Return the cosines of fingerprints (n, d) with one (d,), 0 for a zero vector; of bits the estimate of them."""
    if vectors.dtype == np.uint8:
        different = np.bitwise_count(vectors.view(np.uint64) ^ query.view(np.uint64)).sum(1, dtype=np.float32)
        angles: NDArray[np.float32] = np.pi * different / (8 * vectors.shape[1])
        return np.cos(angles)
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors) * (query @ query))
    dots = vectors @ query
    cosines: NDArray[np.float32] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return cosines


def all_similarities(vectors: Array) -> NDArray[np.float32]:
    """Return the similarities of all pairs of fingerprints (n, d), (n, n)."""
    if vectors.dtype == np.uint8:
        signs = np.unpackbits(vectors, axis=1).astype(np.float32) * 2 - 1
        angles: NDArray[np.float32] = np.pi / 2 * np.clip(signs @ signs.T / signs.shape[1], -1, 1)
        return np.sin(angles)
    units = unit(vectors)
    return units @ units.T


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
    between = all_similarities(found.vectors)
    chosen: list[int] = []
    closest = np.full(len(found.ids), -1.0, np.float32)  # similarity to the nearest chosen one
    for _ in range(min(count, len(found.ids))):
        gain = (1 - diversity) * found.similarities - diversity * (closest if chosen else 0.0)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        closest = np.maximum(closest, between[chosen[-1]])
    return Nearest(found.ids[chosen], found.similarities[chosen], found.vectors[chosen])
