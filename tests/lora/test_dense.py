"""lorarar.lora.dense against plain float64 arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense, factorise, scale_columns_dense
from tests.tiny import dense, factors


def test_shape_and_dtype() -> None:
    layer = Dense(torch.ones(4, 6, dtype=torch.float16))
    assert layer.shape == (4, 6)
    assert layer.delta().dtype == torch.float32
    assert layer.to(dtype=torch.float64).delta().dtype == torch.float64


def test_columns_of_a_low_rank_delta_are_scaled() -> None:
    low_rank, m = factors(4, 6, 2, scale=0.5), torch.arange(6.0)
    assert_close(scale_columns_dense(low_rank, m).double(), dense(low_rank) * m.double(), rtol=1e-5, atol=1e-6)


def test_a_vector_is_scaled_entry_by_entry() -> None:
    assert torch.equal(scale_columns_dense(Dense(torch.ones(3)), torch.arange(3.0)), torch.arange(3.0))


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_factors_of_a_dense_delta_are_exact_and_of_the_smaller_side(shape: tuple[int, int]) -> None:
    layer = Dense(torch.randn(shape), kernel=(1, 2))
    low_rank = factorise(layer)
    assert low_rank.rank == 4
    assert low_rank.kernel == (1, 2)
    assert torch.equal(low_rank.delta(), layer.tensor)


def test_a_low_rank_delta_is_its_own_factorisation() -> None:
    low_rank = factors(4, 6, 2)
    assert factorise(low_rank) is low_rank


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"shape \(out, in\) or \(n,\), found shape \(2, 2, 3, 3\).*flatten"):
        Dense(torch.ones(2, 2, 3, 3))
    with pytest.raises(ValueError, match=r"torch.int8.*dequantise"):
        Dense(torch.ones(2, 2, dtype=torch.int8))
    with pytest.raises(ValueError, match=r"multiple of 9 columns for the kernel \(3, 3\), found 10"):
        Dense(torch.ones(2, 10), kernel=(3, 3))
    with pytest.raises(ValueError, match=r"one coefficient per column, shape \(6,\) or \(\), found \(4,\)"):
        scale_columns_dense(Dense(torch.ones(4, 6)), torch.ones(4))
    with pytest.raises(ValueError, match=r"shape \(out, in\) to factorise, found \(3,\)"):
        factorise(Dense(torch.ones(3)))
