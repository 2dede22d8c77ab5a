"""lorarar.mergers.methods.knots against the dense singular value decomposition in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer
from lorarar.mergers.methods.knots import joint_svd
from lorarar.mergers.table import MERGERS
from tests.mergers.methods.test_pruning import Array, array, elected, trimmed
from tests.tiny import factors

DELTAS: list[Layer] = [factors(9, 11, rank, scale, seed) for rank, scale, seed in ((2, 0.5, 1), (3, 1.5, 2), (1, 1, 3))]


def reference(deltas: list[Layer], density: float) -> Array:
    """Return the merge by KnOTS with TIES as the paper states it, on the dense deltas side by side."""
    arrays = [array(delta) for delta in deltas]
    u, s, vh = np.linalg.svd(np.concatenate(arrays, axis=1), full_matrices=False)
    k = int((s > 1e-5 * s[0]).sum())
    parts = np.split(vh[:k], len(arrays), axis=1)
    return np.asarray((u[:, :k] * s[:k]) @ elected([trimmed(part, density) for part in parts]))


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_knots_equals_the_dense_method(density: float, count: int) -> None:
    found = MERGERS["knots"].call(DELTAS[:count], layer="x", density=density)
    assert found.rank == sum(delta.rank for delta in DELTAS[:count])  # type: ignore[union-attr]
    assert_close(array(found), reference(DELTAS[:count], density), rtol=1e-4, atol=1e-5)


def test_dense_deltas_and_equal_deltas() -> None:
    full = Dense(torch.randn(9, 11, generator=torch.Generator().manual_seed(0)))
    for deltas in ([DELTAS[0], full], [full, DELTAS[1]], [DELTAS[0], DELTAS[0]]):
        found = MERGERS["knots"].call(deltas, layer="x", density=0.5)
        assert_close(array(found), reference(deltas, 0.5), rtol=1e-3, atol=1e-4)
    assert found.rank == 2  # the two deltas are one: no directions of rounding errors


def test_with_dare_the_shared_basis_is_pruned_at_random() -> None:
    call = MERGERS["knots_dare"].call
    found = [array(call(DELTAS[:2], layer="x", density=0.5, seed=seed)) for seed in range(300)]
    assert np.abs(found[0] - found[1]).max() > 0.01
    whole = array(call(DELTAS[:1], layer="x", density=1.0))
    runs = [array(call(DELTAS[:1], layer="x", density=0.5, seed=seed)) for seed in range(300)]
    assert np.abs(np.mean(runs, axis=0) - whole).mean() < 0.15 * np.abs(whole).mean()


def test_the_joint_svd_is_a_singular_value_decomposition() -> None:
    thin = [factors(9, 11, 2, 0.5, 1, torch.float16), factors(9, 7, 3, 1.5, 2, torch.float16)]
    u, s, rights = joint_svd(thin)
    joined = np.concatenate([array(delta) for delta in thin], axis=1)
    assert_close(u.T @ u, torch.eye(5), rtol=0, atol=1e-5)
    assert_close(np.asarray((u * s) @ torch.cat(rights, dim=1)).astype(float), joined, rtol=1e-3, atol=1e-4)
    assert_close(np.asarray(s).astype(float), np.linalg.svd(joined)[1][:5], rtol=1e-4, atol=1e-5)


def test_rows_that_nearly_depend_on_each_other_keep_the_vectors_orthonormal() -> None:
    near, other = (factors(20, 16, 2, 1.0, seed) for seed in (0, 1))
    down = torch.stack([near.A[0], near.A[0] + 1e-4 * near.A[1]])  # their difference counts:
    up = torch.stack([1e4 * near.B[:, 0], near.B[:, 1] - 1e4 * near.B[:, 0]], dim=1)
    _, _, rights = joint_svd([replace(near, A=down, B=up), other])
    right = torch.cat(rights, dim=1)
    assert_close(right @ right.T, torch.eye(4), rtol=0, atol=1e-5)
