"""lorarar.mergers.methods.tsv_m against the method on dense matrices in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer
from lorarar.mergers.methods.tsv_m import tsv_m
from tests.mergers.methods.test_pruning import Array, array
from tests.tiny import factors

DELTAS: list[Layer] = [factors(9, 11, rank, scale, seed) for rank, scale, seed in ((2, 0.5, 1), (3, 1.5, 2), (1, 1, 3))]


def nearest_orthogonal(x: Array) -> Array:
    """Return X (X^T X)^-1/2, by the eigenvectors of X^T X."""
    values, vectors = np.linalg.eigh(x.T @ x)
    return np.asarray(x @ vectors @ np.diag(values**-0.5) @ vectors.T)


def reference(deltas: list[Layer]) -> Array:
    """Return the merge of arXiv 2412.00081: each task keeps the n-th part of the directions that it has."""
    parts = []
    for delta in deltas:
        u, s, vh = np.linalg.svd(array(delta), full_matrices=False)
        k = min(min(delta.shape) // len(deltas), int((s > 1e-5 * s[0]).sum()))
        parts.append((u[:, :k], s[:k], vh[:k].T))
    u, v = (nearest_orthogonal(np.concatenate([part[i] for part in parts], axis=1)) for i in (0, 2))
    return np.asarray(u @ np.diag(np.concatenate([s for _, s, _ in parts])) @ v.T)


@pytest.mark.parametrize("count", [2, 3])
def test_tsv_m_equals_the_dense_method(count: int) -> None:
    found = tsv_m(DELTAS[:count], layer="x")
    assert_close(array(found), reference(DELTAS[:count]), rtol=1e-4, atol=1e-5)
    assert np.abs(array(found) - sum(map(array, DELTAS[:count]))).max() > 0.05


def test_large_ranks_are_cut_to_the_share_of_each() -> None:
    wide: list[Layer] = [factors(6, 9, 5, 1.0, 1), Dense(torch.randn(6, 9, generator=torch.Generator().manual_seed(0)))]
    found = tsv_m(wide, layer="x")
    assert found.rank == 6  # type: ignore[union-attr]
    assert_close(array(found), reference(wide), rtol=1e-4, atol=1e-5)


def test_orthogonal_loras_are_summed_and_equal_ones_are_one() -> None:
    a, b = torch.eye(9)[:, :3], torch.eye(11)[:3]
    first, second = factors(9, 11, 2, 1.0, 1), factors(9, 11, 2, 1.0, 1)
    first = type(first)(a @ torch.randn(3, 2), torch.randn(2, 3) @ b)
    second = type(first)(a.roll(4, 0) @ torch.randn(3, 2), torch.randn(2, 3) @ b.roll(4, 1))
    assert_close(array(tsv_m([first, second], layer="x")), array(first) + array(second), rtol=1e-4, atol=1e-5)
    assert_close(array(tsv_m([first, first], layer="x")), array(first), rtol=1e-4, atol=1e-5)
