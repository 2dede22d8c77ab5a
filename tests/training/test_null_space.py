"""lorarar.training.null_space against the projection of the paper, and NSC as a merger of pairs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from lorarar.datasets.concepts import Concept, Pair
from lorarar.diffusion.backbone import Backbone
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.optimised.nsc import NSC
from lorarar.training.null_space import null_space_ratios
from lorarar.training.pair_training import optimise
from tests.tiny import factors


def ratio(a: Tensor, z: Tensor) -> Tensor:
    """Return |projection of z on the null space of A| / |z|, by the projector's matrix."""
    null = torch.eye(a.shape[1]) - torch.linalg.pinv(a) @ a
    return ((z @ null).norm(dim=-1) / z.norm(dim=-1)).mean()


def test_the_ratio_is_that_of_each_concepts_own_lora_in_the_last_quarter_of_the_blocks() -> None:
    model = nn.ModuleDict({"transformer_blocks": nn.ModuleList(nn.Linear(7, 7) for _ in range(8))})
    blocks = list(model["transformer_blocks"])  # type: ignore[call-overload]
    pairs = [
        [LoRA({f"transformer_blocks.{i}": factors(7, 7, rank, 1.0, seed + i) for i in range(8)}) for rank in (2, 3)]
        for seed in (0, 50)
    ]
    x, inputs = torch.randn(8, 4, 7), []
    with null_space_ratios(model, pairs) as found:
        for block in blocks[4:] + blocks[:4]:  # the order of the pass, not of the names
            inputs.append(x)
            x = block(x)
    for pair in range(2):
        expected = []
        for i in (2, 3):
            for kind in range(2):
                delta = pairs[pair][kind].layers[f"transformer_blocks.{i}"]
                assert isinstance(delta, LowRank)
                expected.append(ratio(delta.A, inputs[4 + i].chunk(4)[2 * pair + kind]))
        assert_close(found.mean()[pair], torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)


def test_nsc_starts_from_its_coefficient_and_lowers_the_ratio(
    backbone: Backbone, concepts: dict[str, Concept], loras: dict[str, LoRA]
) -> None:
    pairs = [Pair(concepts[f"train_content_0{i}"], concepts["train_style_00"]) for i in (0, 1)]
    method = replace(NSC, recipe=replace(NSC.recipe, steps=4, learning_rate=0.05))
    found = optimise(backbone, pairs, loras, method, held_out=2)
    (alone,) = optimise(backbone, pairs[:1], loras, method, held_out=2)
    assert_close(found[0].merger.values, alone.merger.values, rtol=0, atol=2e-3)
    for one in found:
        assert set(one.before) == {"loss", "similarity", "null_space"}
        assert one.before["loss"] == pytest.approx(one.before["null_space"])
        assert one.after["null_space"] < one.before["null_space"]
        assert 0.1 < (one.merger.values - 0.4).abs().max() < 0.25
