"""lorarar.library.clusters and plane: against scipy's linkage, scikit-learn's silhouette, and separated groups."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score, silhouette_score

from lorarar.library import clusters
from lorarar.library.clusters import average_linkage, cluster_similarities, cut, silhouette
from lorarar.library.plane import place
from lorarar.library.search import all_similarities


def groups(count: int, each: int, spread: float, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((count, 24))
    labels = np.repeat(np.arange(count), each)
    return (centres[labels] + spread * random.standard_normal((len(labels), 24))).astype(np.float32), labels


def cosine_distances(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    distances = np.clip(1 - all_similarities(vectors), 0, 2)
    np.fill_diagonal(distances, 0)
    return distances


def test_average_linkage_is_scipys() -> None:
    distances = cosine_distances(groups(6, 9, 0.9)[0])
    merges = average_linkage(distances)
    expected = linkage(squareform(distances, checks=False), "average")
    np.testing.assert_allclose([height for _, _, height in merges], expected[:, 2], rtol=1e-4)
    for count in (2, 6, 20):
        theirs = fcluster(expected, count, "maxclust")
        assert adjusted_rand_score(theirs, cut(merges, count)) == pytest.approx(1)


def test_the_silhouette_is_scikit_learns() -> None:
    vectors, labels = groups(5, 7, 1.0)
    labels[0] = 5  # a cluster of one
    distances = cosine_distances(vectors)
    expected = silhouette_score(distances, labels, metric="precomputed")
    assert silhouette(distances, labels) == pytest.approx(expected, abs=1e-5)


def test_the_number_of_clusters_is_found() -> None:
    vectors, labels = groups(7, 8, 0.3)
    found = cluster_similarities(all_similarities(vectors))
    assert adjusted_rand_score(labels, found) == pytest.approx(1)
    uneven = np.concatenate([vectors[8:], vectors[8:16] * 2])
    assert np.bincount(cluster_similarities(all_similarities(uneven)))[0] == 16  # the largest comes first


def test_a_wrong_count_and_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = groups(2, 3, 0.1)[0]
    with pytest.raises(ValueError, match="expected between 1 and 6 clusters, found 7: give another `count`"):
        cluster_similarities(all_similarities(vectors), 7)
    monkeypatch.setattr(clusters, "LARGEST", 5)
    with pytest.raises(ValueError, match="expected at most 5 entries to cluster, found 6: choose some by `family`"):
        cluster_similarities(all_similarities(vectors))
    assert cluster_similarities(np.ones((1, 1), np.float32)).tolist() == [0]


def test_near_entries_are_placed_together() -> None:
    vectors, labels = groups(4, 12, 0.3)
    positions = place(all_similarities(vectors))
    assert np.abs(positions).max() == pytest.approx(1)
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(1)] == labels).all()
    np.testing.assert_array_equal(place(all_similarities(vectors)), positions)
    assert place(all_similarities(vectors[:2])).shape == (2, 2)
