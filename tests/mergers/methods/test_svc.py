"""lorarar.mergers.methods.svc against the formulas on dense matrices in numpy, and as a step of a merge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import concat
from lorarar.mergers.combination import combine
from lorarar.mergers.methods.svc import calibrate
from lorarar.mergers.request import MergeRequest
from tests.mergers.cases import mixed_lora, regauged, times
from tests.mergers.methods.test_pruning import Array, array
from tests.tiny import factors

FIRST, SECOND = factors(9, 11, 3, 0.5, 1), factors(9, 11, 2, 1.5, 2)


def reference(merged: Array, inputs: list[Array], alpha: float) -> Array:
    """Return the calibration, direction by direction, as the paper states it."""
    u, s, vh = np.linalg.svd(merged, full_matrices=False)
    total = np.zeros_like(merged)
    for r in range(int((s > 1e-5 * s[0]).sum())):
        response = u[:, r] @ merged
        own = [u[:, r] @ x for x in inputs]
        gamma = len(inputs) / sum(max(alpha, response @ a / (a @ a)) for a in own)
        total += gamma * s[r] * np.outer(u[:, r], vh[r])
    return total


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_svc_equals_the_dense_formula(alpha: float) -> None:
    for merged in (concat([FIRST, SECOND]), replace(FIRST, scale=2.0), Dense(torch.randn(9, 11))):
        found = calibrate(merged, [FIRST, None, SECOND], alpha=alpha)
        assert isinstance(found, type(merged))
        assert_close(array(found), reference(array(merged), [array(FIRST), array(SECOND)], alpha), rtol=1e-4, atol=1e-5)


def test_what_two_inputs_share_is_counted_once_and_zeros_do_not_count() -> None:
    twice = concat([FIRST, FIRST])
    assert_close(array(calibrate(twice, [FIRST, FIRST], alpha=0.5)), array(FIRST), rtol=1e-4, atol=1e-5)
    zero: Layer = replace(SECOND, scale=0.0)
    assert_close(array(calibrate(FIRST, [FIRST, zero], alpha=0.5)), array(FIRST), rtol=1e-4, atol=1e-5)
    assert calibrate(zero, [zero], alpha=0.5) is zero


@pytest.mark.parametrize("name", ["direct", "ties", "tsv_m"])
def test_svc_is_a_step_after_any_merge(name: str) -> None:
    loras = [mixed_lora(3, 0.5), mixed_lora(2, 2.0, seed=300)]
    request = MergeRequest(merger=name, weights=[1.0, 0.5], dense=name == "ties")
    plain, found = combine(loras, request), combine(loras, replace(request, svc=0.5))
    assert found.svc == 0.5
    assert found.notes[-1] == "singular values calibrated (svc 0.5)"
    weighted = [loras[0], times(loras[1], 0.5)]
    for path, delta in plain.lora.layers.items():
        if len(delta.shape) == 1:
            assert_close(found.lora.layers[path].delta(), delta.delta())
            continue
        inputs = [array(lora.layers[path]) for lora in weighted]
        assert_close(array(found.lora.layers[path]), reference(array(delta), inputs, 0.5), rtol=1e-3, atol=1e-4)
    other = combine([regauged(lora) for lora in loras], replace(request, svc=0.5)).lora
    for path, delta in found.lora.layers.items():
        assert_close(other.layers[path].delta(), delta.delta(), rtol=1e-3, atol=1e-4)


def test_a_bound_that_is_not_above_zero_is_refused() -> None:
    for alpha in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`svc` above 0"):
            combine([LoRA({"x": FIRST})] * 2, MergeRequest(merger="direct", svc=alpha))
