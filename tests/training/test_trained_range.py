"""lorarar.training.trained_range: a trained merger's header has the numbers of its training LoRAs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from lorarar.datasets.concepts import Concept
from lorarar.datasets.splits import Split
from lorarar.diffusion.backbone import Backbone
from lorarar.hypernetwork.build import new_merger
from lorarar.hypernetwork.checkpoint import load_network, save_merger
from lorarar.lora.lora import LoRA
from lorarar.training.pairs import PairData
from lorarar.training.trained_range import state_range


def test_the_header_has_the_range_and_the_weights_stay(
    backbone: Backbone, concepts: dict[str, Concept], splits: dict[str, Split], loras: dict[str, LoRA], tmp_path: Path
) -> None:
    path = tmp_path / "merger.safetensors"
    torch.manual_seed(0)
    merger = new_merger("layerwise", next(iter(loras.values())), {"width": 4})
    save_merger(merger, path, {"base": "owner/base", "step": "3"})
    entries = []
    for jitter in (0.0, math.log(2)):
        data = PairData(backbone, concepts, splits, loras, pairs=2, images=1, seed=0, weight_jitter=jitter)
        state_range(path, data)
        network = load_network(path)
        assert network.trained_on
        assert network.trained_on.bases == ("owner/base",)
        entries.append(network.trained_on.ranges["typical entry"])
        assert network.metadata["step"] == "3"
    for name, tensor in merger.state_dict().items():
        assert torch.equal(network.module.state_dict()[name], tensor)
    assert entries[1] == pytest.approx((entries[0][0] / 2, entries[0][1] * 2), rel=1e-2)
