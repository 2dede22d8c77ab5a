"""lorarar.mergers.methods.direct: the weighted sum."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.coefficients import merge_exactly
from lorarar.mergers.methods.direct import direct
from tests.tiny import dense, two_block_lora


def test_direct_is_the_weighted_sum() -> None:
    a, b = two_block_lora(2, 0.5), two_block_lora(3, 2.0, seed=40)
    for weights, (w_a, w_b) in ((None, (1.0, 1.0)), ([0.7, -2.0], (0.7, -2.0))):
        merged = merge_exactly([a, b], direct([a, b], weights))
        for layer, f in merged.layers.items():
            assert_close(dense(f), w_a * dense(a.layers[layer]) + w_b * dense(b.layers[layer]), rtol=1e-5, atol=1e-4)


def test_coefficients_are_ones_without_gradients() -> None:
    vectors = [m for row in direct([two_block_lora(1)] * 2).layers.values() for m in row]
    assert not any(m.requires_grad for m in vectors)
    assert all(torch.equal(m, torch.tensor(1.0)) for m in vectors)


def test_weights_must_match_the_loras() -> None:
    with pytest.raises(ValueError, match=r"expected 2 weights.*found 1: \[0.5\]"):
        direct([two_block_lora(1)] * 2, [0.5])
