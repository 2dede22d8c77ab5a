"""lorarar.mergers: the table, and the mergers that learn nothing."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.mergers.catalogue import mergers_table
from lorarar.mergers.methods.average import average
from lorarar.mergers.methods.direct import direct
from lorarar.mergers.table import MERGERS
from tests.tiny import dense, factors, two_block_lora


def test_direct_is_the_weighted_sum() -> None:
    a, b = two_block_lora(2, 0.5), two_block_lora(3, 2.0, seed=40)
    for weights, (w_a, w_b) in ((None, (1.0, 1.0)), ([0.7, -2.0], (0.7, -2.0))):
        merged = merge_exactly([a, b], direct([a, b], weights))
        for layer, f in merged.layers.items():
            assert_close(dense(f), w_a * dense(a.layers[layer]) + w_b * dense(b.layers[layer]), rtol=1e-5, atol=1e-4)


def test_average_divides_by_the_number_of_loras_everywhere() -> None:
    loras = [LoRA({"x": factors(4, 5, 2, seed=i)}) for i in range(2)] + [LoRA({"y": factors(4, 5, 2, seed=9)})]
    merged = merge_exactly(loras, average(loras)).layers
    assert_close(
        dense(merged["x"]), (dense(loras[0].layers["x"]) + dense(loras[1].layers["x"])) / 3, rtol=1e-5, atol=1e-5
    )
    assert_close(dense(merged["y"]), dense(loras[2].layers["y"]) / 3, rtol=1e-5, atol=1e-5)


def test_weights_must_match_the_loras() -> None:
    with pytest.raises(ValueError, match=r"expected 2 weights.*found 1: \[0.5\]"):
        direct([two_block_lora(1)] * 2, [0.5])


@pytest.mark.parametrize("name", MERGERS)
def test_every_row_is_complete(name: str) -> None:
    merger = MERGERS[name]
    assert merger.name == name
    assert merger.citation
    assert merger.kind in ("coefficients", "delta", "runtime")
    assert (merger.predicted([two_block_lora(1)] * 2) is not None) == (merger.pair is not None)


def test_the_table_as_text() -> None:
    lines = mergers_table().splitlines()
    assert lines[0].split() == ["name", "kind", "LoRAs", "needs", "options", "citation"]
    assert [line.split()[0] for line in lines[1:]] == list(MERGERS)
    assert next(line for line in lines if line.startswith("della ")).split()[1:7] == [
        "delta",
        "any",
        "-",
        "density=0.5",
        "epsilon=0.15",
        "seed=0",
    ]


def test_settings_are_checked() -> None:
    dare = MERGERS["dare"]
    assert dare.settings({"seed": 3.0}) == {"density": 0.5, "seed": 3}
    assert isinstance(dare.settings({"seed": 3.0})["seed"], int)
    with pytest.raises(
        ValueError, match=r"options of dare among density, seed, found 'densty': did you mean 'density'"
    ):
        dare.settings({"densty": 1})
    with pytest.raises(ValueError, match=r"among none, found 'mu'"):
        MERGERS["direct"].settings({"mu": 1})
    with pytest.raises(ValueError, match="whole number for dare's option seed, found 0.5"):
        dare.settings({"seed": 0.5})


def test_the_table_gives_torch_nothing_to_train_by_default() -> None:
    loras = [two_block_lora(1)] * 2
    vectors = [m for row in direct(loras).layers.values() for m in row]
    assert not any(m.requires_grad for m in vectors)
    assert all(torch.equal(m, torch.tensor(1.0)) for m in vectors)
