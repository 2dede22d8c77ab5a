"""OFT and BOFT against LyCORIS modules, which compute in float32, and the lengths that rotations preserve."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lycoris.modules import ButterflyOFTModule, DiagOFTModule
from torch import Tensor, nn

from lorarar.formats.algorithms.layer import NeedsBase, layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from tests.formats.algorithms.reference import check_equal, convolution, linear, parts_of, randomised, used_delta


@pytest.mark.parametrize("base", [linear().float(), convolution().float(), convolution(kernel=1).float()], ids=str)
@pytest.mark.parametrize("kind", [DiagOFTModule, ButterflyOFTModule])
@pytest.mark.parametrize("constraint", [0, 0.01, 9])
@pytest.mark.parametrize("rescaled", [False, True])
def test_equals_lycoris(base: nn.Linear | nn.Conv2d, kind: Any, constraint: float, rescaled: bool) -> None:
    module = randomised(kind("x", base, lora_dim=6, constraint=constraint, rescaled=rescaled))
    layer = layer_deltas(parts_of(module), Scaling(), lambda: base.weight.detach())[""]
    check_equal(layer, used_delta(module, base), 1e-5)
    assert layer.kernel == tuple(base.weight.shape[2:])


@pytest.mark.parametrize("shape", [(4, 3, 3), (1, 2, 6, 6), (3, 4, 4, 4)])
def test_lengths_of_columns_are_kept(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape[-3] * shape[-1], 7, dtype=torch.float64)
    blocks = torch.randn(shape, dtype=torch.float64)
    changed = weight + layer_deltas({"oft_blocks": blocks}, Scaling(), lambda: weight)[""].delta()
    assert not torch.allclose(changed, weight)
    assert torch.allclose(changed.norm(dim=0), weight.norm(dim=0))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"oft_blocks": torch.ones(3, 3, 3)}, "square blocks that cover the weight's 12 rows"),
        ({"oft_blocks": torch.ones(4, 3, 2)}, "square blocks"),
        ({"oft_blocks": torch.ones(12, 1)}, "square blocks"),
        ({"oft_blocks": torch.ones(1, 4, 3, 3)}, "stages of BOFT"),
        ({"oft_blocks": torch.ones(9, 2, 6, 6)}, "9 stages of BOFT with blocks of 6 do not fit 12 rows"),
        ({"oft_blocks": torch.ones(4, 3, 3), "rescale": torch.ones(5)}, "one number for each of 12 rows"),
        ({"oft_blocks": torch.ones(4, 3, 3), "alpha": torch.ones(2)}, "alpha must be one finite number"),
        ({"oft_blocks": torch.full((4, 3, 3), 1e300, dtype=torch.float64).triu()}, "too large"),
    ],
)
def test_errors(parts: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer_deltas(parts, Scaling(), lambda: torch.ones(12, 5))
    with pytest.raises(NeedsBase):
        layer_deltas(parts, Scaling())
