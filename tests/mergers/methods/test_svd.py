"""lorarar.mergers.methods.svd against numpy's singular value decomposition of the dense sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.methods.svd import svd
from tests.mergers.methods.test_pruning import array
from tests.tiny import factors

CONTENT, STYLE = factors(9, 11, 3, 0.5, 1), factors(9, 11, 2, 1.5, 2)
FULL = Dense(torch.randn(9, 11, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize("deltas", [[CONTENT, STYLE], [CONTENT, FULL], [FULL, None, STYLE]])
def test_it_is_the_best_approximation_of_the_sum(deltas: list[Layer | None], rank: int) -> None:
    u, s, vh = np.linalg.svd(sum(array(delta) for delta in deltas if delta is not None))
    found = svd(deltas, layer="x", rank=rank)
    assert isinstance(found, LowRank)
    assert found.rank == rank
    assert_close(array(found), (u[:, :rank] * s[:rank]) @ vh[:rank], rtol=1e-4, atol=1e-5)


def test_without_a_rank_it_is_the_largest_of_the_inputs() -> None:
    found = svd([CONTENT, STYLE], layer="x")
    assert isinstance(found, LowRank)
    assert found.rank == 3
    assert svd([FULL], layer="x") is not None
    assert_close(svd([FULL, FULL], layer="x").delta(), 2 * FULL.tensor)
    with pytest.raises(ValueError, match="rank of at least 1, found -2"):
        svd([CONTENT], layer="x", rank=-2)
