"""lorarar.library.search: against a sort of everything, in chunks of any size."""

from __future__ import annotations

import numpy as np
import pytest

from lorarar.library.search import Nearest, diversify, nearest, unit


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("euclidean", [False, True])
def test_the_nearest_of_all_chunks_are_found(size: int, euclidean: bool) -> None:
    random = np.random.default_rng(0)
    vectors, query = (
        random.standard_normal((2, 50, 8)).astype(np.float32)[0],
        random.standard_normal(8).astype(np.float32),
    )
    vectors[3] = 0
    ids = np.arange(50) * 10
    found = nearest(
        ((ids[i : i + size], vectors[i : i + size]) for i in range(0, 50, size)), query, 6, euclidean=euclidean
    )
    scores = -np.linalg.norm(vectors - query, axis=1) if euclidean else unit(vectors) @ unit(query)
    order = np.argsort(-scores)[:6]
    assert found.ids.tolist() == ids[order].tolist()
    np.testing.assert_allclose(found.similarities, scores[order], rtol=1e-4)
    np.testing.assert_array_equal(found.vectors, vectors[order])


@pytest.mark.parametrize("size", [1, 30])
def test_bits_are_compared_by_their_angles(size: int) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (30, 16), np.uint8)
    codes[4] = ~codes[9]
    found = nearest(((np.arange(30)[i : i + size], codes[i : i + size]) for i in range(0, 30, size)), codes[9], 30)
    assert (found.ids[0], found.similarities[0]) == (9, 1)
    assert (found.ids[-1], found.similarities[-1]) == (4, -1)
    different = np.unpackbits(codes[found.ids] ^ codes[9], axis=1).mean(1)
    np.testing.assert_allclose(found.similarities, np.cos(np.pi * different), atol=1e-6)


def test_fewer_entries_than_asked_for() -> None:
    assert len(nearest([], np.ones(3, np.float32), 5).ids) == 0
    assert len(nearest([(np.arange(2), np.eye(2, dtype=np.float32))], np.ones(2, np.float32), 5).ids) == 2


def test_diversity_leaves_near_copies_out() -> None:
    vectors = np.array([[1, 0.1, 0], [1, 0.11, 0], [1, 0.12, 0], [0.6, 0, 0.8], [0.5, -0.8, 0]], np.float32)
    query = np.array([1, 0, 0], np.float32)
    found = Nearest(np.arange(5), unit(vectors) @ query, vectors)
    assert diversify(found, 3, 0.0).ids.tolist() == [0, 1, 2]
    assert diversify(found, 3, 0.5).ids.tolist() == [0, 4, 3]
