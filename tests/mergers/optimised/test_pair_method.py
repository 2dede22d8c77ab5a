"""lorarar.mergers.optimised.pair_method, ziplora and cat: the methods that are optimised for each pair, as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from lorarar.hypernetwork.paper import NothingPredictedError
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA, projection
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.methods.direct import direct
from lorarar.mergers.optimised.cat import CAT
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.ziplora import ZIPLORA, ZIPLORA_PYTORCH
from lorarar.mergers.optimised.ziprank import ZIPRANK
from lorarar.mergers.table import MERGERS
from tests.tiny import dense, factors, two_block_lora

LORAS = [two_block_lora(2), two_block_lora(3, seed=40)]


def test_the_published_settings() -> None:
    for method in (ZIPLORA, ZIPLORA_PYTORCH):
        recipe, weights = method.recipe, method.weights
        assert (recipe.steps, recipe.weight_decay, recipe.clip, recipe.schedule) == (100, 1e-4, 1.0, "constant")
        assert (weights.fidelity, weights.combined, weights.similarity, method.images) == (1.0, 0.0, 0.01, 1)
    assert (ZIPLORA.recipe.learning_rate, ZIPLORA.weights.kind) == (0.01, "cos")
    assert (ZIPLORA_PYTORCH.recipe.learning_rate, ZIPLORA_PYTORCH.weights.kind) == (5e-5, "product")


@pytest.mark.parametrize(("method", "count"), [(ZIPLORA, 4 * (6 + 12)), (CAT, 8)])
def test_a_pair_starts_at_the_direct_merge(method: PairMethod, count: int) -> None:
    start = method.initial(LORAS)
    assert start.values.shape == (count, 2)
    found, expected = merge_exactly(LORAS, start(LORAS)), merge_exactly(LORAS, direct(LORAS))
    for layer, delta in expected.layers.items():
        assert_close(dense(found.layers[layer]), dense(delta), rtol=1e-5, atol=1e-5)


def test_projections_that_are_not_optimised_are_fixed() -> None:
    method = replace(ZIPLORA, predicted=("to_q", "to_out"), fixed=0.5)
    for layer, vectors in method.initial(LORAS)(LORAS).layers.items():
        free = projection(layer) in ("to_q", "to_out")
        assert [m.ndim for m in vectors] == [int(free)] * 2
        assert all(m.requires_grad == free and (m == (1.0 if free else 0.5)).all() for m in vectors)


def test_each_column_has_its_own_number() -> None:
    start = ZIPLORA.initial(LORAS)
    with torch.no_grad():
        start.values.copy_(torch.arange(2 * len(start.values)).view(-1, 2))
    found = start(LORAS).layers
    assert torch.cat([row[0] for row in found.values()]).tolist() == [2.0 * i for i in range(len(start.values))]
    assert torch.cat([row[1] for row in found.values()]).tolist() == [2.0 * i + 1 for i in range(len(start.values))]


def test_each_direction_has_its_own_number_whatever_the_ranks() -> None:
    start = ZIPRANK.initial(LORAS)
    assert start.values.shape == (8 * 3, 2)  # the larger of ranks 2 and 3, in eight layers
    with torch.no_grad():
        start.values.copy_(torch.arange(2.0 * len(start.values)).view(-1, 2))
    found = merge_exactly(LORAS, start(LORAS))
    for number, (layer, merged) in enumerate(found.layers.items()):
        c, s = (lora.layers[layer] for lora in LORAS)
        assert isinstance(c, LowRank)
        assert isinstance(s, LowRank)
        rows = 2.0 * (3 * number + torch.arange(3))
        expected = c.scale * c.B @ torch.diag(rows[:2]) @ c.A + s.scale * s.B @ torch.diag(rows + 1) @ s.A
        assert_close(merged.delta(), expected)


def test_dense_layers_have_no_directions_and_larger_ranks_are_refused() -> None:
    layer = next(iter(LORAS[0].layers))
    full = LoRA({**LORAS[0].layers, layer: Dense(LORAS[0].layers[layer].delta())})
    start = ZIPRANK.initial([full, LORAS[1]])
    assert layer not in start.config.groups
    assert [m.shape for m in start([full, LORAS[1]]).layers[layer]] == [(), ()]
    with pytest.raises(ValueError, match=r"expected a rank of at most 3 in .*, found 5"):
        ZIPRANK.initial(LORAS)([two_block_lora(2), two_block_lora(5)])


def test_loras_of_different_layers() -> None:
    other = LoRA({"mid_block.x.to_q": factors(4, 5, 1)})
    assert ZIPLORA.initial([LORAS[0], other]).config.columns[-1] == 5
    assert len(merge_exactly([LORAS[0], other], CAT.initial([LORAS[0], other])([LORAS[0], other])).layers) == 9


def test_a_base_of_the_same_names_and_another_width_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"expected 6 columns in .*to_q, found 7: use a merger that was made for its base model"
    ):
        ZIPLORA.initial(LORAS)([two_block_lora(2, width=7)] * 2)


def test_options_reach_the_method() -> None:
    given = {"steps": 7, "learning_rate": 0.5, "similarity": 0.1, "combined": 2.0, "fixed": 0.25, "images": 3}
    more = {"start": 0.3, "patience": 4, "seed": 9}
    changed = ZIPLORA.configured({**given, **more})
    assert changed.options() == {**given, **more}
    assert ZIPLORA.configured({}) == ZIPLORA
    assert MERGERS["ziplora"].settings({"steps": 7.0}) == ZIPLORA.options() | {"steps": 7}


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"images": 0}, {"learning_rate": 0.0}, {"patience": -1}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"of at least 1, a learning_rate above 0.*{next(iter(wrong))} "):
        ZIPLORA.configured(wrong)


def test_loras_without_a_layer_to_optimise_are_refused() -> None:
    full = LoRA({"a.to_q": Dense(torch.eye(4))}, name="full")
    for method, wanted in ((ZIPRANK, "of low rank in every LoRA among to_q"), (ZIPLORA, "linear layer among to_q")):
        given = [full, full] if method is ZIPRANK else [LoRA({"a.ff": Dense(torch.eye(4))}, name="full")] * 2
        with pytest.raises(NothingPredictedError, match=rf"{wanted}.* found none in full \(1 layers\) and full"):
            method.initial(given)
