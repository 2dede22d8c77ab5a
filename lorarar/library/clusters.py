"""Clusters: hierarchical clustering by average linkage, and the choice of their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST = 6000  # entries; the similarities of all pairs are in memory
Pairs = NDArray[np.float32]
Labels = NDArray[np.int64]


def cluster_similarities(similarities: Pairs, count: int | None = None) -> Labels:
    """Return the cluster of each entry, numbered from 0, the largest cluster first.

    Args:
        similarities: Cosines of all pairs, (n, n).
        count: Number of clusters; None takes the number with the best mean silhouette.

    Raises:
        ValueError: There are too many entries, or the count is not between 1 and n.
    """
    entries = len(similarities)
    if entries > LARGEST:
        raise ValueError(
            f"expected at most {LARGEST} entries to cluster, found {entries}: choose some by `family`, `kind` or `rank`"
        )
    if count is not None and not 1 <= count <= entries:
        raise ValueError(f"expected between 1 and {entries} clusters, found {count}: give another `count`")
    if entries < 2:
        return np.zeros(entries, np.int64)
    distances = np.clip(1 - similarities, 0, 2)
    np.fill_diagonal(distances, 0)
    merges = average_linkage(distances)
    if count is None:
        candidates = sorted({round(1.25**i) for i in range(3, 60)} | {2, 3})
        cuts = {n: cut(merges, n) for n in candidates if n < entries} or {1: cut(merges, 1)}
        count = max(cuts, key=lambda n: (silhouette(distances, cuts[n]), -n))
    labels = cut(merges, count)
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order)[labels]


def average_linkage(distances: Pairs) -> list[tuple[int, int, float]]:
    """Return the merges of an agglomerative clustering, nearest first: members of both clusters and their distance.

    The distance of two clusters is the mean over the pairs of their members. Chains of nearest neighbours find all
    merges in O(n^2).

    Args:
        distances: Distances of all pairs, (n, n).

    Reference: F. Murtagh, "A survey of recent advances in hierarchical clustering algorithms", Computer Journal 1983.
    """
    between = distances.astype(np.float32, copy=True)
    np.fill_diagonal(between, np.inf)
    sizes = np.ones(len(between))
    merges: list[tuple[int, int, float]] = []
    chain: list[int] = []
    while len(merges) < len(between) - 1:
        if not chain:
            chain = [int(sizes.argmax())]
        while True:
            last = chain[-1]
            closest = int(between[last].argmin())
            if len(chain) > 1 and between[last, chain[-2]] <= between[last, closest]:
                closest = chain[-2]
                break
            chain.append(closest)
        a, b = sorted((last, closest))
        merges.append((a, b, float(between[a, b])))
        joined = (sizes[a] * between[a] + sizes[b] * between[b]) / (sizes[a] + sizes[b])
        between[a], between[:, a] = joined, joined
        between[a, a] = np.inf
        between[b], between[:, b] = np.inf, np.inf
        sizes[a], sizes[b] = sizes[a] + sizes[b], 0
        chain = chain[:-2]
    return sorted(merges, key=lambda merge: merge[2])


def cut(merges: list[tuple[int, int, float]], count: int) -> Labels:
    """Return the cluster of each element when the first merges have left so many clusters."""
    labels = np.arange(len(merges) + 1)
    for a, b, _ in merges[: len(labels) - count]:
        labels[labels == labels[b]] = labels[a]
    return np.unique(labels, return_inverse=True)[1]


def silhouette(distances: Pairs, labels: Labels) -> float:
    """Return the mean of (b - a) / max(a, b), with the mean distances a within and b to the nearest other cluster.

    An element that is a cluster of its own counts 0.

    Reference: P. J. Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 20 (1987).
    """
    members = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels]
    sizes = members.sum(0)
    if len(sizes) < 2:
        return 0.0
    sums = distances @ members
    own = np.arange(len(labels)), labels
    within = sums[own] / np.maximum(sizes[labels] - 1, 1)
    means = sums / sizes
    means[own] = np.inf
    others = means.min(1)
    values = (others - within) / np.maximum(np.maximum(within, others), 1e-12)
    return float(np.where(sizes[labels] > 1, values, 0.0).mean())
