"""lorarar.formats.naming.rows: the division of fused layers."""

from __future__ import annotations

import pytest
import torch

from lorarar.formats.naming.originals import rows_of
from lorarar.formats.naming.rows import divide_rows
from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank
from lorarar.lora.rows import Rows, whole_layer


def test_factors_are_divided_like_the_delta() -> None:
    layer = LowRank(torch.randn(7 * 5, 2), torch.randn(2, 5), 0.5)
    rows = rows_of("single_blocks.3.linear1", "flux", 2)
    assert rows is not None
    parts = divide_rows(layer, rows, 5)
    assert [part.shape for part in parts.values()] == [(5, 5), (5, 5), (5, 5), (20, 5)]
    assert torch.equal(torch.cat([part.delta() for part in parts.values()]), layer.delta())
    assert all(isinstance(part, LowRank) and part.A is layer.A for part in parts.values())


def test_rows_of_an_unknown_model_are_refused() -> None:
    rows = rows_of("single_blocks.3.linear1", "flux", 2)
    assert rows is not None
    with pytest.raises(ValueError, match="7 times as many rows as its 5 columns, found 45: .*unsupported model"):
        divide_rows(Dense(torch.zeros(45, 5)), rows, 5)


def test_zero_columns_and_zero_parts_are_left_out() -> None:
    """Separate factors of three projections form a block diagonal B."""
    up = torch.zeros(6, 2)
    up[0:2, 0] = 1.0
    up[4:6, 1] = 2.0
    layer = LowRank(up, torch.randn(2, 2))
    parts = divide_rows(layer, Rows((("q", 1), ("k", 1), ("v", 1))), 2)
    assert list(parts) == ["q", "v"]
    for path, index in (("q", 0), ("v", 1)):
        part = parts[path]
        assert isinstance(part, LowRank)
        assert part.rank == 1
        assert torch.equal(part.A, layer.A[index : index + 1])


def test_a_zero_layer_keeps_all_parts() -> None:
    parts = divide_rows(LowRank(torch.zeros(4, 1), torch.ones(1, 2)), Rows((("q", 1), ("k", 1))), 2)
    assert list(parts) == ["q", "k"]


def test_halves_are_swapped_only_for_two_parts() -> None:
    tensor = torch.arange(8.0).reshape(4, 2)
    rows = Rows((("norm_out.linear", 1),), halves=True)
    swapped = divide_rows(Dense(tensor), rows, 2)["norm_out.linear"]
    assert torch.equal(swapped.delta(), torch.cat([tensor[2:], tensor[:2]]))
    six = Dense(torch.arange(12.0).reshape(6, 2))
    assert divide_rows(six, rows, 2)["norm_out.linear"] is six
    with pytest.raises(ValueError, match="found the bias alone"):
        divide_rows(Dense(torch.ones(4)), rows, 0)


def test_a_whole_layer_is_returned_unchanged() -> None:
    layer = Dense(torch.ones(3, 2))
    assert divide_rows(layer, whole_layer("x"), 2) == {"x": layer}
