"""lorarar.lora.truncation against numpy's dense singular value decomposition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.lora.truncation import TruncationLoss, compress_layer, relative_error, truncate_layer, truncate_lora
from tests.tiny import factors

OUT, IN = 10, 12
few = settings(max_examples=25, deadline=None, derandomize=True)


def layer_of(rank: int, scale: float, dense: bool, seed: int = 0) -> Layer:
    """Return a convolution's delta of shape (10, 12)."""
    f = factors(OUT, IN, rank, scale, seed, torch.float64)
    return Dense(f.delta(), (2, 2)) if dense else LowRank(f.B, f.A, scale, (2, 2))


def best(layer: Layer, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return numpy's best approximation of this rank, and the singular values."""
    u, s, vh = np.linalg.svd(layer.delta().numpy(), full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vh[:rank], s


@few
@given(st.integers(1, 12), st.integers(1, 14), st.booleans(), st.sampled_from([1.0, -0.3]))
def test_a_rank_gives_the_best_approximation(rank: int, target: int, dense: bool, scale: float) -> None:
    layer = layer_of(rank, scale, dense)
    small, loss = truncate_layer(layer, rank=target)
    expected, s = best(layer, target)
    assert isinstance(small, LowRank)
    assert small.rank <= target
    assert small.kernel == (2, 2)
    assert_close(small.delta(), torch.from_numpy(expected), rtol=1e-8, atol=1e-8)
    assert loss.total == pytest.approx(np.linalg.norm(s))
    assert loss.lost == pytest.approx(np.linalg.norm(s[target:]), abs=1e-8)


@few
@given(st.integers(2, 9), st.floats(0.05, 1.0), st.booleans())
def test_an_energy_gives_the_least_rank_that_keeps_it(rank: int, energy: float, dense: bool) -> None:
    layer = layer_of(rank, 0.5, dense)
    small, loss = truncate_layer(layer, energy=energy)
    assert isinstance(small, LowRank)
    _, s = best(layer, rank)
    kept = [float((s[:k] ** 2).sum() / (s**2).sum()) for k in range(len(s) + 1)]
    assert kept[small.rank] >= energy - 1e-12
    assert kept[small.rank - 1] < energy
    assert 1 - loss.relative**2 == pytest.approx(kept[small.rank])
    assert float((small.delta() - layer.delta()).norm()) == pytest.approx(loss.lost, abs=1e-8)


@pytest.mark.parametrize("options", [{"rank": 5}, {"rank": 9}, {"energy": 1.0}])
def test_a_layer_of_low_rank_stays_unchanged(options: dict[str, float]) -> None:
    layer = layer_of(5, 2.0, dense=False)
    small, loss = truncate_layer(layer, **options)  # type: ignore[arg-type]
    assert small is layer
    assert loss == TruncationLoss(0.0, pytest.approx(float(layer.delta().norm())))


def test_a_lora_keeps_its_order_norms_and_metadata() -> None:
    norm = Dense(torch.arange(4.0))
    layers: dict[str, Layer] = {"b": layer_of(6, 1.0, False), "norm": norm, "a": layer_of(6, 1.0, True, seed=3)}
    small, losses = truncate_lora(LoRA(layers, {"title": "x"}, "cat"), rank=2)
    assert list(small.layers) == ["b", "norm", "a"]
    assert small.layers["norm"] is norm
    assert (small.metadata, small.name) == ({"title": "x"}, "cat")
    assert list(losses) == ["b", "a"]
    difference = math.hypot(*(float((small.layers[la].delta() - layers[la].delta()).norm()) for la in "ab"))
    whole = math.hypot(*(float(layers[la].delta().norm()) for la in "ab"))
    assert relative_error(losses.values()) == pytest.approx(difference / whole)


def test_a_zero_delta_has_no_loss() -> None:
    zero = LowRank(torch.zeros(4, 3), torch.zeros(3, 4))
    small, loss = truncate_layer(zero, energy=0.5)
    assert isinstance(small, LowRank)
    assert small.rank == 1
    assert loss.relative == 0.0
    assert relative_error([]) == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either `rank` or `energy`"),
        ({"rank": 1, "energy": 0.5}, "either `rank` or `energy`"),
        ({"rank": 0}, "rank of at least 1, found 0"),
        ({"energy": 0.0}, "above 0 and at most 1"),
        ({"energy": 1.5}, "found 1.5"),
    ],
)
def test_wrong_numbers_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        truncate_layer(layer_of(2, 1.0, False), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (12, 60)])
def test_a_compressed_layer_is_nearly_the_best_of_its_rank(shape: tuple[int, int]) -> None:
    own = factors(*shape, 5, 1.0, 0)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    layer = Dense(own.delta() * (noise.abs() > 0.5) + 0.01 * noise)
    least = float(torch.linalg.svdvals(layer.delta())[5:].norm())
    for basis in (own.A, None):
        found, loss = compress_layer(layer, 5, basis)
        assert found.rank == 5
        assert least <= loss.lost * (1 + 1e-5)
        assert loss.lost <= least * 1.005
        assert_close(float((layer.delta() - found.delta()).norm()), loss.lost, rtol=1e-3, atol=1e-4)
        assert compress_layer(Dense(torch.zeros(shape)), 5, basis)[1] == TruncationLoss(0.0, 0.0)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
def test_an_energy_in_float32_is_kept_by_a_gram_matrix_or_near_1_by_the_svd(shape: tuple[int, int]) -> None:
    delta = factors(*shape, 40, 1.0, 0).delta() * torch.logspace(0, -4, shape[1])
    squares = torch.linalg.svdvals(delta.double()).square()
    for energy in (0.5, 0.99, 0.999999):
        found, loss = truncate_layer(Dense(delta), energy=energy)
        assert isinstance(found, LowRank)
        kept = squares[: found.rank].sum() / squares.sum()
        assert energy - 1e-6 <= kept
        assert squares[: found.rank - 1].sum() / squares.sum() < energy + 1e-6
        lost = float((delta.double() - found.delta().double()).norm())
        assert lost == pytest.approx(float(squares[found.rank :].sum().sqrt()), rel=1e-2)
        assert loss.lost == pytest.approx(lost, rel=1e-2)


def test_a_small_loss_is_not_lost_in_rounding() -> None:
    own = factors(50, 60, 3, 1.0, 0).delta()
    layer = Dense(own + 1e-5 * torch.randn(own.shape, generator=torch.Generator().manual_seed(1)))
    found, loss = compress_layer(layer, 3)
    assert loss.lost == pytest.approx(float((layer.delta().double() - found.delta().double()).norm()), rel=0.05)
    assert loss.relative < 1e-3
