"""lorarar.mergers.methods.ssr against ordinary least squares on the inputs themselves, in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank, concat
from lorarar.mergers.methods.ssr import ssr
from tests.mergers.cases import regauged
from tests.mergers.methods.test_pruning import Array, array
from tests.tiny import factors

DELTAS = [factors(9, 11, rank, scale, seed) for rank, scale, seed in ((2, 0.5, 1), (3, 1.5, 2), (1, 1, 3))]
INPUTS = [np.random.default_rng(seed).normal(size=(40, 11)) for seed in range(3)]  # of each LoRA alone


def moments(deltas: list[LowRank]) -> dict[str, list[torch.Tensor]]:
    rows = torch.cat([delta.A for delta in deltas]).double()
    return {"x": [(rows @ torch.tensor(x.T @ x) @ rows.T / len(x)).float() for x in INPUTS[: len(deltas)]]}


def least_squares(deltas: list[LowRank]) -> Array:
    """Return the best map of the rank space that gives, on each LoRA's inputs, what that LoRA alone would."""
    rows = np.concatenate([np.asarray(delta.A) for delta in deltas]).astype(float)
    z = np.concatenate([x @ rows.T for x in INPUTS[: len(deltas)]])
    y = np.concatenate([x @ array(delta).T for x, delta in zip(INPUTS, deltas, strict=False)])
    return np.asarray(np.linalg.lstsq(z, y)[0].T @ rows)


@pytest.mark.parametrize("count", [2, 3])
def test_ssr_is_least_squares_on_each_loras_own_output(count: int) -> None:
    deltas = DELTAS[:count]
    found = ssr(deltas, layer="x", moments=moments(deltas), ridge=0.0)
    assert isinstance(found, LowRank)
    assert found.rank == sum(delta.rank for delta in deltas)
    assert_close(array(found), least_squares(deltas), rtol=1e-3, atol=1e-4)
    assert np.abs(array(found) - array(concat(deltas))).max() > 0.05


def test_the_ridge_is_that_of_orthonormal_rows() -> None:
    ortho = [LowRank(delta.B, torch.linalg.qr(delta.A.T).Q.T.contiguous(), delta.scale) for delta in DELTAS[:2]]
    given = moments(ortho)
    z = torch.stack(given["x"]).mean(0) + 0.3 * torch.eye(5)
    q = torch.cat([given["x"][0][:2], given["x"][1][2:]]) / 2
    ups = torch.cat([d.scale * d.B for d in ortho], dim=1)
    expected = ups @ q @ torch.linalg.inv(z) @ torch.cat([d.A for d in ortho])
    assert_close(array(ssr(ortho, layer="x", moments=given, ridge=0.3)), array(Dense(expected)), rtol=1e-3, atol=1e-4)


def test_the_factors_do_not_matter() -> None:
    other = [regauged(LoRA({"x": delta})).layers["x"] for delta in DELTAS[:2]]
    low_rank = [delta for delta in other if isinstance(delta, LowRank)]
    found, turned = (ssr(d, layer="x", moments=moments(d), ridge=0.1) for d in (DELTAS[:2], low_rank))
    assert_close(array(turned), array(found), rtol=1e-3, atol=1e-4)


def test_without_moments_alone_or_dense_the_sum_is_taken() -> None:
    full = Dense(torch.randn(9, 11))
    total = array(concat(DELTAS[:2]))
    assert_close(array(ssr(DELTAS[:2], layer="x", moments={})), total)
    assert ssr([DELTAS[0], None], layer="x", moments=moments(DELTAS[:2])) is DELTAS[0]
    dense = ssr([DELTAS[0], full], layer="x", moments=moments(DELTAS[:2]))
    assert_close(array(dense), array(DELTAS[0]) + array(full), rtol=1e-4, atol=1e-5)
