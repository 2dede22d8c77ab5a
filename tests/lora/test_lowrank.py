"""lorarar.lora.lowrank against dense float64 arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from lorarar.lora.lowrank import LowRank, column_dots, column_norms, concat, inner, norm, scale_columns, truncate
from tests.tiny import dense, factors

OUT, IN = 9, 7
few = settings(max_examples=25, deadline=None, derandomize=True)
ranks = st.integers(1, 8)
scales = st.floats(0.01, 4.0) | st.just(1.0)
dtypes = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


@few
@given(ranks, scales, dtypes)
def test_delta_is_scale_b_a_in_float32_or_wider(rank: int, scale: float, dtype: torch.dtype) -> None:
    f = factors(OUT, IN, rank, scale, dtype=dtype)
    assert f.delta().dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert_close(f.delta().double(), dense(f), rtol=1e-5, atol=1e-5)
    assert (f.rank, f.shape) == (rank, (OUT, IN))


@few
@given(ranks, scales, dtypes)
def test_scale_columns_multiplies_the_columns_of_the_delta(rank: int, scale: float, dtype: torch.dtype) -> None:
    f, m = factors(OUT, IN, rank, scale, dtype=dtype), torch.linspace(-2, 2, IN)
    assert_close(dense(scale_columns(f, m)), dense(f) * m.double(), rtol=1e-5, atol=1e-5)
    assert_close(dense(scale_columns(f, torch.tensor(0.3))), dense(f) * 0.3, rtol=1e-5, atol=1e-5)
    assert scale_columns(f, m).rank == rank


@few
@given(st.lists(st.tuples(ranks, scales, dtypes), min_size=2, max_size=4))
def test_concat_is_the_exact_sum(parts: list[tuple[int, float, torch.dtype]]) -> None:
    fs = [factors(OUT, IN, rank, scale, seed, dtype) for seed, (rank, scale, dtype) in enumerate(parts)]
    total = concat(fs)
    assert_close(dense(total), sum(dense(f) for f in fs), rtol=1e-5, atol=2e-5)
    assert total.rank == sum(f.rank for f in fs)
    assert total.scale == 1.0


def test_concat_of_one_is_unchanged() -> None:
    f = factors(OUT, IN, 3, 0.1, dtype=torch.float16)
    assert concat([f]) is f


@few
@given(ranks, ranks, scales)
def test_products_and_norms(rank_a: int, rank_b: int, scale: float) -> None:
    a, b = factors(OUT, IN, rank_a, scale, 1), factors(OUT, IN, rank_b, -0.5, 2)
    da, db = dense(a), dense(b)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    assert_close(inner(a, b).double(), (da * db).sum(), **tolerance)
    assert_close(norm(a).double(), da.norm(), **tolerance)
    assert_close(column_dots(a, b).double(), (da * db).sum(0), **tolerance)
    assert_close(column_norms(a).double(), da.norm(dim=0), **tolerance)


@few
@given(st.integers(2, 6), scales)
def test_nothing_depends_on_the_gauge(rank: int, scale: float) -> None:
    f = factors(OUT, IN, rank, scale, dtype=torch.float64)
    g = factors(rank, rank, rank, seed=5, dtype=torch.float64).B + 3 * torch.eye(rank)
    turned = LowRank(f.B @ g, torch.linalg.solve(g, f.A), scale)
    m = torch.linspace(-1, 1, IN, dtype=torch.float64)
    assert_close(turned.delta(), f.delta())
    assert_close(scale_columns(turned, m).delta(), scale_columns(f, m).delta())
    assert_close(column_norms(turned), column_norms(f))
    assert_close(truncate(turned, 1)[0].delta(), truncate(f, 1)[0].delta())


@few
@given(st.integers(2, 12), st.integers(1, 6), scales)
def test_truncate_is_the_truncated_svd_of_the_dense_delta(rank: int, target: int, scale: float) -> None:
    f = factors(OUT, IN, rank, -scale, dtype=torch.float64)
    u, s, vh = torch.linalg.svd(dense(f), full_matrices=False)
    kept = min(target, rank)
    small, error = truncate(f, target)
    assert small.rank <= kept
    assert_close(small.delta(), (u[:, :kept] * s[:kept]) @ vh[:kept], rtol=1e-8, atol=1e-8)
    assert error == pytest.approx(float(s[kept:].norm() / s.norm()), abs=1e-8)


def test_truncate_of_a_small_or_zero_delta() -> None:
    f = factors(OUT, IN, 3)
    assert truncate(f, 3) == (f, 0.0)
    zero, error = truncate(LowRank(torch.zeros(OUT, 3), torch.zeros(3, IN)), 2)
    assert error == 0.0
    assert not zero.delta().any()


def test_gradients_reach_coefficients_and_factors() -> None:
    f = factors(OUT, IN, 3, 0.5)
    a, m = f.A.clone().requires_grad_(), torch.ones(IN, requires_grad=True)
    other = factors(OUT, IN, 2, 2.0, 1)
    merged = concat([scale_columns(LowRank(f.B, a, f.scale), m), other])
    merged.delta().square().sum().backward()
    total = dense(f) + dense(other)
    assert m.grad is not None
    assert a.grad is not None
    assert_close(m.grad.double(), 2 * (total * dense(f)).sum(0), rtol=1e-4, atol=1e-4)
    assert_close(a.grad.double(), 2 * f.scale * f.B.double().T @ total, rtol=1e-4, atol=1e-4)


def test_to_casts_both_factors() -> None:
    f = factors(OUT, IN, 3, 0.1).to(dtype=torch.float16)
    assert (f.A.dtype, f.B.dtype, f.scale) == (torch.float16, torch.float16, 0.1)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"ranks must agree.*\(9, 3\).*\(2, 7\).*swapped or transposed"):
        LowRank(torch.zeros(9, 3), torch.zeros(2, 7))
    with pytest.raises(ValueError, match=r"factor B must be a 2-D.*\(9, 3, 1, 1\).*flatten"):
        LowRank(torch.zeros(9, 3, 1, 1), torch.zeros(3, 7))
    with pytest.raises(ValueError, match=r"factor A .*torch.int8.*dequantise"):
        LowRank(torch.zeros(9, 3), torch.zeros(3, 7, dtype=torch.int8))
    with pytest.raises(ValueError, match=r"expected one coefficient per column, shape \(7,\).*found \(6,\)"):
        scale_columns(factors(OUT, IN, 2), torch.ones(6))
    with pytest.raises(ValueError, match="found none"):
        concat([])
    with pytest.raises(ValueError, match="one base model"):
        concat([factors(OUT, IN, 2), factors(OUT, 8, 2)])
    with pytest.raises(ValueError, match="one base model"):
        inner(factors(OUT, IN, 2), factors(1, IN, 2))
    with pytest.raises(ValueError, match="rank of at least 1, found 0"):
        truncate(factors(OUT, IN, 2), 0)


def test_a_sum_has_the_kernel_of_any_part() -> None:
    flat, with_kernel = factors(4, 18, 2), replace(factors(4, 18, 3), kernel=(3, 3))
    assert concat([flat, with_kernel]).kernel == concat([with_kernel, flat]).kernel == (3, 3)
