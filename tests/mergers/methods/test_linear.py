"""lorarar.mergers.methods.linear against peft's own merged adapter."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from torch import nn
from torch.testing import assert_close

from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.methods.linear import linear
from tests.tiny import dense, factors

CONTENT, STYLE = factors(9, 11, 3, 0.5, 1), factors(9, 11, 3, 2.0, 2)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.7, 0.2), (1.0, -0.5)])
def test_it_is_what_peft_calls_linear(weights: tuple[float, float]) -> None:
    model = get_peft_model(nn.Sequential(nn.Linear(11, 9, bias=False)), config(CONTENT), adapter_name="first")
    model.add_adapter("second", config(STYLE))
    for name, delta in (("first", CONTENT), ("second", STYLE)):
        state = {"base_model.model.0.lora_A.weight": delta.A, "base_model.model.0.lora_B.weight": delta.B}
        set_peft_model_state_dict(model, state, adapter_name=name)
    model.add_weighted_adapter(["first", "second"], list(weights), "merged", combination_type="linear")
    expected = model.base_model.model[0].get_delta_weight("merged").detach()
    weighted = [LowRank(d.B, d.A, d.scale * w) for d, w in zip((CONTENT, STYLE), weights, strict=True)]
    found = linear(weighted, layer="x")
    assert found.rank == 3
    assert_close(found.delta(), expected, rtol=1e-4, atol=1e-5)


def config(delta: LowRank) -> LoraConfig:
    return LoraConfig(r=delta.rank, lora_alpha=delta.rank * delta.scale, target_modules=["0"])


def test_it_is_not_the_sum() -> None:
    total = dense(CONTENT) + dense(STYLE)
    error = (linear([CONTENT, STYLE], layer="x").delta().double() - total).norm() / total.norm()
    assert 0.3 < error < 3  # as large as the sum itself


def test_other_ranks_and_dense_deltas_are_refused() -> None:
    with pytest.raises(ValueError, match=r"in layer x, .*found rank 3, rank 2: use the merger direct"):
        linear([CONTENT, factors(9, 11, 2)], layer="x")
    with pytest.raises(ValueError, match="found rank 3, a dense delta"):
        linear([CONTENT, Dense(torch.zeros(9, 11))], layer="x")
