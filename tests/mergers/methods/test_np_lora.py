"""lorarar.mergers.methods.np_lora against the projector in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.methods.np_lora import np_lora
from tests.mergers.methods.test_pruning import Array, array
from tests.tiny import factors

CONTENT, STYLE, THIRD = (
    factors(9, 11, rank, scale, seed) for rank, scale, seed in ((3, 0.5, 1), (2, 1.5, 2), (4, 1, 3))
)


def reference(content: Layer, styles: list[Layer], mu: float) -> Array:
    c, s = array(content), np.concatenate([array(style) for style in styles])
    _, values, vh = np.linalg.svd(s)
    q = vh[: int((values > 1e-5 * values[0]).sum())].T
    share = mu / (1 + mu) if np.isfinite(mu) else 1.0
    return np.asarray(sum(array(style) for style in styles) + c - share * c @ q @ q.T)


@pytest.mark.parametrize("mu", [0.0, 0.5, 3.0, float("inf")])
@pytest.mark.parametrize("styles", [[STYLE], [STYLE, THIRD]])
def test_np_lora_equals_the_dense_projection(styles: list[LowRank], mu: float) -> None:
    found = np_lora([CONTENT, *styles], layer="x", mu=mu)
    assert isinstance(found, LowRank)
    assert found.rank == CONTENT.rank + sum(style.rank for style in styles)
    assert_close(array(found), reference(CONTENT, list(styles), mu), rtol=1e-4, atol=1e-5)


def test_the_hard_projection_leaves_no_content_in_the_styles_rows() -> None:
    found = array(np_lora([CONTENT, STYLE], layer="x", mu=float("inf"))) - array(STYLE)
    assert np.abs(found @ array(STYLE).T).max() < 1e-4 * np.abs(array(CONTENT) @ array(STYLE).T).max()


def test_the_row_space_is_that_of_the_delta_not_of_its_factor() -> None:
    b = STYLE.B.clone()
    b[:, 1] = 0  # the second row of A has no part in the delta
    half = replace(STYLE, B=b)
    assert_close(
        array(np_lora([CONTENT, half], layer="x", mu=3.0)), reference(CONTENT, [half], 3.0), rtol=1e-4, atol=1e-5
    )
    untrained = replace(STYLE, B=torch.zeros_like(STYLE.B))
    assert_close(array(np_lora([CONTENT, untrained], layer="x", mu=3.0)), array(CONTENT), rtol=1e-5, atol=1e-6)


def test_dense_deltas() -> None:
    full = Dense(torch.randn(9, 11, generator=torch.Generator().manual_seed(0)))
    for content, style in ((full, STYLE), (CONTENT, full)):
        found = np_lora([content, style], layer="x", mu=0.5)
        assert isinstance(found, Dense)
        assert_close(array(found), reference(content, [style], 0.5), rtol=1e-4, atol=1e-5)


def test_a_negative_strength_is_refused() -> None:
    for mu in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="mu of at least 0"):
            np_lora([CONTENT, STYLE], layer="x", mu=mu)
