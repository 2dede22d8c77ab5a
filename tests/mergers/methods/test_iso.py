"""lorarar.mergers.methods.iso against the method on dense matrices in numpy."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from torch.testing import assert_close

from lorarar.lora.lora import Layer
from lorarar.mergers.methods.iso import iso_c, iso_cts
from tests.mergers.methods.test_pruning import Array, array
from tests.mergers.methods.test_tsv_m import nearest_orthogonal
from tests.tiny import factors

CASES = ((6, 0.5, 1), (5, 1.5, 2), (4, 1, 3))
DELTAS: list[Layer] = [factors(19, 15, rank, scale, seed) for rank, scale, seed in CASES]


def svd(x: Array) -> tuple[Array, Array, Array]:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    k = int((s > 1e-5 * s[0]).sum())
    return u[:, :k], s[:k], vh[:k]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_iso_c_equals_the_dense_method(count: int) -> None:
    found = array(iso_c(DELTAS[:count], layer="x"))
    u, s, vh = svd(reduce(np.add, map(array, DELTAS[:count])))
    assert_close(found, s.mean() * u @ vh, rtol=1e-4, atol=1e-5)
    values = np.linalg.svd(found)[1]
    assert values[0] == pytest.approx(values[len(s) - 1], rel=1e-4)


def cts(deltas: list[Layer], common: float) -> Array:
    """Return the merge of arXiv 2502.04959 as its release states it, within the range of the sum."""
    u, s, vh = svd(reduce(np.add, map(array, deltas)))
    own = round((len(s) - int(len(s) * common)) / len(deltas))
    k = len(s) - own * len(deltas)
    lefts, values, rights = [u[:, :k]], [s[:k]], [vh[:k].T]
    for delta in deltas:
        left, value, right = svd(array(delta) - u[:, :k] @ u[:, :k].T @ array(delta))
        lefts.append(left[:, :own])
        values.append(value[:own])
        rights.append(right[:own].T)
    middle = np.concatenate(values).mean()
    left, right = (nearest_orthogonal(np.concatenate(part, axis=1)) for part in (lefts, rights))
    return np.asarray(middle * left @ right.T)


@pytest.mark.parametrize("common", [0.5, 0.8])
@pytest.mark.parametrize("count", [2, 3])
def test_iso_cts_equals_the_dense_method(count: int, common: float) -> None:
    found = array(iso_cts(DELTAS[:count], layer="x", common=common))
    assert_close(found, cts(DELTAS[:count], common), rtol=1e-3, atol=1e-4)
    assert np.abs(found - array(iso_c(DELTAS[:count], layer="x"))).max() > 0.01


def test_all_common_is_iso_c_and_other_shares_are_refused() -> None:
    found = iso_cts(DELTAS, layer="x", common=1.0)
    assert_close(array(found), array(iso_c(DELTAS, layer="x")), rtol=1e-4, atol=1e-5)
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="a common share from 0 to 1"):
            iso_cts(DELTAS, layer="x", common=share)
    assert iso_cts([DELTAS[0], factors(19, 15, 1, 1.0, 9)], layer="x", common=0.0).rank <= 7
