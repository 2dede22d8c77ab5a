"""lorarar.mergers.methods.average: the mean of the deltas."""

from __future__ import annotations

from torch.testing import assert_close

from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.mergers.methods.average import average
from tests.tiny import dense, factors


def test_every_layer_is_divided_by_the_number_of_loras() -> None:
    loras = [LoRA({"x": factors(4, 5, 2, seed=i)}) for i in range(2)] + [LoRA({"y": factors(4, 5, 2, seed=9)})]
    merged = merge_exactly(loras, average(loras)).layers
    x = (dense(loras[0].layers["x"]) + dense(loras[1].layers["x"])) / 3
    assert_close(dense(merged["x"]), x, rtol=1e-5, atol=1e-5)
    assert_close(dense(merged["y"]), dense(loras[2].layers["y"]) / 3, rtol=1e-5, atol=1e-5)
